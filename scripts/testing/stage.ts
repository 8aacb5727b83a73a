// A stage: one part of the run, with a name to select it by.
import type { Tally } from './tally.ts';

export interface Stage {
  readonly name: string;
  readonly title: string;
  /** Runs beside another such one. */
  readonly pairs?: boolean;
  readonly run: (say: (line: string) => void) => Promise<Tally>;
}
