/** What a soak is told, checked by the command line. */
import type { Ask } from './control.ts';

export const BREAKS = ['checksum', 'fence', 'early-reply', 'fsync'] as const;
export type Break = (typeof BREAKS)[number];

export interface SoakOptions {
  readonly ms: number;
  readonly seed: number;
  /** Of a device that is served already; else a server of our own is started. */
  readonly uri?: string | undefined;
  /** Control socket of that server. */
  readonly control?: string | undefined;
  /** A guest swaps on the server, in place of the driver. */
  readonly guest: boolean;
  /** Shapes that the driver begins in a second, at most; Infinity: as fast as they go. */
  readonly rate: number;
  readonly report?: string | undefined;
  readonly break?: Break | undefined;
  /** Path and text of the plan. */
  readonly faults?: { readonly path: string; readonly text: string } | undefined;
  readonly set: readonly string[];
  /** The line that runs it again. */
  readonly again: string;
}

export interface Surroundings {
  readonly ask: (socket: string) => Ask;
  /** A line for whoever looks on. */
  readonly tell: (line: string) => void;
  /** Aborted when whoever started it wants it to end. */
  readonly signal: AbortSignal;
}
