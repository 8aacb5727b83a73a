/** What was done for this process as the options under `process` ask, or why it was not: for the log, stats, and a start that insists. */
import type { Logger } from 'pino';
import type { Config } from '../config/schema.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';

type Options = Config['process'];

export type CareState = 'done' | 'off' | 'not permitted' | 'not supported' | 'failed';

export interface Care {
  readonly option: Exclude<keyof Options, 'oomScoreAdjRequired'>;
  readonly state: CareState;
  /** What was done, or what is in its way. */
  readonly detail: string;
  /** What can be counted of it. */
  readonly figures?: Readonly<Record<string, number>>;
}

function textOf({ option, state, detail }: Care): string {
  return `process.${option}: ${state}: ${detail}`;
}

/** A line of the log for each; when all runs, because who reads of a start that failed wants the reason alone. */
export function tellOf(care: readonly Care[], log: Pick<Logger, 'info'>): void {
  for (const one of care) log.info({ state: one.state, ...one.figures }, textOf(one));
}

/** By option, for stats. */
export function careReport(care: readonly Care[]): Record<string, object> {
  return Object.fromEntries(care.map(({ option, figures, ...rest }) => [option, { ...rest, ...figures }]));
}

/** The same, unless the config says that nothing is served without it. */
export function insist(options: Options, care: Care): Care {
  const { option, state } = care;
  const required = option === 'oomScoreAdj' ? options.oomScoreAdjRequired : options[option] === 'required';
  if (!required || state === 'done') return care;
  const allowed = option === 'oomScoreAdj' ? 'process.oomScoreAdjRequired: false' : '"try" or "off"';
  throw new ExitError(EXIT.usage, `${textOf(care)}, allowed: ${allowed}`);
}
