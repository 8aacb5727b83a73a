/** The ways to choose schedules. Each is one file; all of them use an engine that has entered its cell. */
import type { Engine } from '../engine.ts';
import type { Outcome } from '../run.ts';

export interface SearchResult {
  readonly schedules: number;
  /** The shortest failing run that was met; with an exhaustive search, none shorter has as few preemptions. */
  readonly failure: Outcome | null;
  /** Everything within the limits was tried, or a failure was found before. */
  readonly complete: boolean;
}

export interface SearchOptions {
  /** Preemptions of a schedule at most; for PCT, changes of priority, of which a bug may need more. */
  readonly bound: number;
  /** Ends the search. */
  readonly schedulesMax: number;
  readonly seed: number;
  /** Every façade operation is a choice, not only those that were learned to matter. */
  readonly all: boolean;
  /** Whether schedules are left out that come to what others come to; without it, unless every operation is a choice. */
  readonly leaveOut?: boolean;
  /** Stop at the first failure instead of looking for the shortest. */
  readonly first: boolean;
  readonly onProgress?: (schedules: number, bound: number) => void;
}

export type Strategy = (engine: Engine, options: SearchOptions) => SearchResult;

export const PROGRESS_EVERY = 500;

/** Fewer preemptions first, then fewer protocol steps, then fewer choices. */
export function isShorter(a: Outcome, b: Outcome | null): boolean {
  if (b === null) return true;
  if (a.preemptions !== b.preemptions) return a.preemptions < b.preemptions;
  if (a.steps !== b.steps) return a.steps < b.steps;
  return a.schedule.length !== b.schedule.length ? a.schedule.length < b.schedule.length : a.positions < b.positions;
}
