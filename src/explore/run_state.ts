/**
 * The board: what the threads of an explorer share about the schedule itself. Only the thread whose turn it is writes to
 * it, so plain access will do; the hand-over of the turn is what orders it.
 *
 * A schedule is a list of (position, actor): at that position of the run, that actor moves. Positions count every
 * scheduling decision of a run, so a schedule means the same whatever the search considers as worth a choice. Where the
 * list says nothing, the running actor goes on, and when it can't, the next enabled one in round-robin order does.
 */
import { int32, uint8 } from '../shm/columns.ts';
import { createKnown, type KnownStates } from './search/known_states.ts';

/** An explorer has that many threads, one of them for the image. */
export const ACTORS_MAX = 6;

/** Words of `ctl`. */
export const B = {
  POSITION: 0,
  MODE: 1,
  LENGTH: 2,
  AT: 3,
  ABORT: 4,
  STEPS: 5,
  RETRIES: 6,
  DECISIONS: 7,
  MADE: 8,
  SEED: 9,
  ALL: 10,
  VERBOSE: 11,
  TEXT: 12,
  STARTED: 13,
  GONE: 14,
  ENDED: 15,
  ACTORS: 16,
  LOCKS: 17,
  DIVERGED: 18,
  PREEMPTIONS: 19,
  DAEMON: 20,
  LEARN: 21,
  CHANGES: 22,
  CONSULTED: 23,
  /** Number of the array of mailboxes. */
  MAILBOX: 24,
  /** 1 once all threads have left an ended run. */
  LEFT: 25,
  /** Preemptions of the run at hand plus 1, if it may end where another has been with as few; else 0. */
  KNOWN_AT: 26,
  /** 1 once a run has come to such a state. */
  KNOWN: 27,
  /** How many words stand in `marked`. */
  MARKED: 28,
  /** 1 if something was learned of a word since the engine last looked. */
  LEARNED: 29,
  /** Per actor. */
  GO: 32,
  STATE: 40,
  WAIT_ARRAY: 48,
  WAIT_INDEX: 56,
  WAIT_SEEN: 64,
  HELD: 72,
  LOCKSET: 80,
  PRIORITY: 88,
  CHANGE_AT: 96,
  /** Two words per actor. */
  HISTORY: 112,
  WORDS: 128,
} as const;

/** How decisions beyond the schedule are made. */
export const MODE = { PREFIX: 0, RANDOM: 1, PCT: 2 } as const;
export const STATE = { RUNNABLE: 0, LOCK: 1, RETRY: 2, DONE: 3 } as const;
/** Values of a GO word. */
export const GO = { NONE: 0, TURN: 1, CELL: 2, EXIT: 3 } as const;

/** Decisions of one run beyond which it counts as a livelock, as do more retries than RETRIES_MAX. */
export const POSITIONS_MAX = 6000;
export const RETRIES_MAX = 400;
export const SCHEDULE_MAX = 4096;
export const DECISION_WORDS = 6;
export const HELD_MAX = 16;
/** Locks told apart in lock sets; further ones share the last. */
export const LOCK_IDS = 31;

export interface Board {
  readonly ctl: Int32Array;
  /** Pairs (position, actor). */
  readonly schedule: Int32Array;
  readonly made: Int32Array;
  /** DECISION_WORDS each: position, mask of enabled actors, chosen, 1 if a preemption, and the state in two words. */
  readonly decisions: Int32Array;
  /** Per actor, pairs (array, index) of locks held. */
  readonly held: Int32Array;
  /** Per word: masks of actors that touched and that wrote it, the locks always held then, and whether it is a choice. */
  readonly touched: Int32Array;
  readonly written: Int32Array;
  readonly lockset: Int32Array;
  readonly choice: Uint8Array;
  readonly lockIds: Int32Array;
  /** Per word, two words each: hash of its last write, and sum of the reads since. */
  readonly lastWrite: Int32Array;
  readonly reads: Int32Array;
  /** Numbers of the words of which the run has a last write or reads. */
  readonly marked: Int32Array;
  readonly known: KnownStates;
  /** Lines of JSON: what happened, in order. */
  readonly text: Uint8Array;
  /** A cell's description for the threads, as JSON: length in ctl of the reader. */
  readonly cell: Uint8Array;
  readonly cellLength: Int32Array;
}

export function createBoard(words: number): Board {
  return {
    ctl: int32(B.WORDS),
    schedule: int32(SCHEDULE_MAX * 2),
    made: int32(SCHEDULE_MAX * 2),
    decisions: int32(POSITIONS_MAX * DECISION_WORDS),
    held: int32(ACTORS_MAX * HELD_MAX * 2),
    touched: int32(words),
    written: int32(words),
    lockset: int32(words),
    choice: uint8(words),
    lockIds: int32(words),
    lastWrite: int32(words * 2),
    reads: int32(words * 2),
    marked: int32(words),
    known: createKnown(),
    text: uint8(1 << 20),
    cell: uint8(1 << 16),
    cellLength: int32(1),
  };
}

/** A line of what happened in a run. */
export interface Line {
  readonly actor: number;
  readonly kind: 'step' | 'note' | 'violation';
  readonly text: string;
  /** Where a step stands in the source: file:line:column of the compiled file. */
  readonly at?: string;
  /** Of a violation. */
  readonly class?: string;
  /** Of a violation: the last step of the actor that met it. */
  readonly step?: string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function writeLine(board: Board, line: Line): void {
  const { ctl, text } = board;
  const bytes = encoder.encode(`${JSON.stringify(line)}\n`);
  if (ctl[B.TEXT] + bytes.length > text.length) return;
  text.set(bytes, ctl[B.TEXT]);
  ctl[B.TEXT] += bytes.length;
}

export function readLines(board: Board): Line[] {
  const bytes = board.text.slice(0, board.ctl[B.TEXT]);
  return decoder
    .decode(bytes)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

export function putCell(board: Board, cell: object): void {
  const bytes = encoder.encode(JSON.stringify(cell));
  board.cell.set(bytes);
  board.cellLength[0] = bytes.length;
}

export function takeCell(board: Board): unknown {
  return JSON.parse(decoder.decode(board.cell.slice(0, board.cellLength[0])));
}

/** A step of a 32-bit linear congruential generator in the board; the upper bits are the good ones. */
export function random(ctl: Int32Array, below: number): number {
  ctl[B.SEED] = (Math.imul(ctl[B.SEED], 1664525) + 1013904223) | 0;
  return Math.floor(((ctl[B.SEED] >>> 8) / 0x1000000) * below);
}

/** Resets everything that belongs to one run. */
export function beginRun(board: Board, actors: number, daemon: number): void {
  const { ctl, lastWrite, reads, marked } = board;
  if (ctl[B.MARKED] === marked.length) {
    lastWrite.fill(0);
    reads.fill(0);
  } else
    for (let i = 0; i < ctl[B.MARKED]; i++) {
      const at = marked[i] * 2;
      lastWrite.fill(0, at, at + 2);
      reads.fill(0, at, at + 2);
    }
  for (const word of [B.POSITION, B.AT, B.ABORT, B.STEPS, B.RETRIES, B.DECISIONS, B.MADE, B.TEXT]) ctl[word] = 0;
  for (const word of [B.STARTED, B.GONE, B.ENDED, B.LEFT, B.DIVERGED, B.PREEMPTIONS, B.KNOWN, B.MARKED]) ctl[word] = 0;
  ctl[B.ACTORS] = actors;
  ctl[B.DAEMON] = daemon;
  for (let i = 0; i < actors; i++) {
    ctl[B.STATE + i] = STATE.RUNNABLE;
    ctl[B.HELD + i] = 0;
    ctl[B.LOCKSET + i] = 0;
    ctl[B.HISTORY + i * 2] = 0;
    ctl[B.HISTORY + i * 2 + 1] = 0;
  }
}
