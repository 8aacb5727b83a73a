/**
 * The end of a swapoff: the image forgets what the slots held, tree by tree. What it refuses to forget is old, and not what a
 * client would read: those slots are lost, EIO, until they are written again or the image is asked again and obeys.
 */
import { bitsOver, clearBit, findBit, setCount, testBit } from '../pool/bits.ts';
import { enter, STATE } from '../pool/export_state.ts';
import type { Zswap } from './zswap.ts';

/** What it needs of its thread and of the thread that owns the images. */
export interface PunchHost {
  readonly zswap: Zswap;
  /** Runs a task after the caller has returned. */
  defer(task: () => void): void;
  /** Punches slots of the image, after everything that is queued for it; `done` is called later. */
  punch(x: number, first: number, count: number, done: (errno: number) => void): void;
}

/** A tree that held something: its first slot, and its words of `users` as they were. */
export interface Discarded {
  readonly first: number;
  readonly users: Int32Array;
}

export class SwapoffPunch {
  private readonly host: PunchHost;
  private readonly x: number;
  private readonly left: Discarded[];
  private readonly done: (errno: number, refused: readonly Discarded[]) => void;
  private readonly refused: Discarded[] = [];
  private errno = 0;

  /** Of an export that is `punching`, and is off when `done` gets the first error and the trees that are to be asked for again. */
  constructor(host: PunchHost, x: number, discarded: readonly Discarded[], done: SwapoffPunch['done']) {
    this.host = host;
    this.x = x;
    this.left = [...discarded];
    this.done = done;
  }

  next(): void {
    const { zswap } = this.host;
    const { pages } = zswap.settings.exports[this.x];
    const tree = this.left.pop();
    if (tree === undefined) {
      enter(zswap.shared.states, this.x, STATE.OFF);
      this.done(this.errno, this.refused);
      return;
    }
    const used = bitsOver([tree.users]);
    const end = Math.min(pages, tree.first + tree.users.length * 32) - tree.first;
    const from = findBit(used, 0, tree.first === 0 ? 1 : 0, end, true);
    if (from === end) {
      this.host.defer(() => this.next());
      return;
    }
    this.host.punch(this.x, tree.first + from, end - from, (errno) => {
      // Most often the image obeys, and nothing was lost before: then there is nothing to say of any slot.
      if (errno !== 0 || setCount(zswap.shared.lost, this.x) > 0) {
        for (let i = from; i < end; i = findBit(used, 0, i + 1, end, true)) this.punched(tree.first + i, errno);
      }
      if (errno !== 0) {
        this.refused.push(tree);
        if (this.errno === 0) this.errno = errno;
      }
      this.next();
    });
  }

  /** No request changes a slot of an export that is off, so what was lost once is here until now. */
  private punched(slot: number, errno: number): void {
    const { zswap } = this.host;
    const { users, lost } = zswap.shared;
    if (errno !== 0) zswap.lose(this.x, slot);
    else if (testBit(lost, this.x, slot)) {
      clearBit(users, this.x, slot);
      clearBit(lost, this.x, slot);
    }
  }
}

/** Asks for what an earlier swapoff of export `x` could not have; it is off, before and after. */
export function punchAgain(
  host: PunchHost,
  x: number,
  refused: readonly Discarded[],
  done: SwapoffPunch['done'],
): void {
  enter(host.zswap.shared.states, x, STATE.PUNCHING);
  new SwapoffPunch(host, x, refused, done).next();
}
