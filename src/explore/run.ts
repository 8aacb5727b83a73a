/** A run: what it is told, and what came of it. */
import { type Line, MODE } from './run_state.ts';
import type { Finding } from './world/quiescence.ts';

export interface Choice {
  readonly position: number;
  readonly actor: number;
}

export interface Decision {
  readonly position: number;
  readonly mask: number;
  readonly chosen: number;
  readonly preempts: boolean;
  /** Fingerprint of the state in which it is made, 52 bits. */
  readonly state: number;
}

export interface RunOptions {
  readonly schedule: readonly Choice[];
  readonly mode: (typeof MODE)[keyof typeof MODE];
  /** Every façade operation is a choice, not only those that were learned to matter. */
  readonly all: boolean;
  readonly verbose: boolean;
  readonly seed: number;
  /** Of PCT: a priority per actor, and the positions where the mover's drops. */
  readonly priorities: readonly number[];
  readonly changes: readonly number[];
  /** The run may end where one has been that made as few preemptions (goesOn); without it, it goes to its end. */
  readonly preemptions?: number;
}

export interface Outcome {
  readonly finding: Finding | null;
  /** The choices that were not the default. */
  readonly schedule: readonly Choice[];
  readonly preemptions: number;
  readonly positions: number;
  /** Numbered protocol steps up to the end or the finding. */
  readonly steps: number;
  readonly lines: readonly Line[];
  /** It came to a state that was known, and has ended there: what is found from there on, an earlier run has found. */
  readonly known: boolean;
  /** A choice of the schedule could not be made: it belongs to other code. */
  readonly diverged: boolean;
}

export const PLAIN_RUN: RunOptions = {
  schedule: [],
  mode: MODE.PREFIX,
  all: false,
  verbose: false,
  seed: 1,
  priorities: [],
  changes: [],
};
