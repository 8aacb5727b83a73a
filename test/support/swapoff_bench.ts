/** A swapoff whose image and thread are the test's. */
import type { Parkable } from '#src/zswap/lane.js';
import { SwapoffOp } from '#src/zswap/swapoff_op.js';
import { type Discarded, punchAgain } from '#src/zswap/swapoff_punch.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { makePage, newZswap, put } from './pool.ts';

export const SECOND_TREE = 16_384;

/** A host that notes what is asked of it; the test answers. */
export class SwapoffBench {
  readonly asked: string[] = [];
  readonly zswap: Zswap;
  readonly ended: number[] = [];
  private refused: readonly Discarded[] = [];
  private readonly parked: Parkable[] = [];
  private readonly tasks: (() => void)[] = [];
  private answer: ((errno: number) => void) | null = null;

  constructor(zswap: Zswap) {
    this.zswap = zswap;
  }

  swapoff(keep = false): this {
    const op: SwapoffOp = new SwapoffOp(this, 0, keep, (errno: number) => this.end(errno, op.refused));
    op.resume();
    return this.run();
  }

  /** What the image refused is asked for again. */
  again(): this {
    punchAgain(this, 0, this.refused, (errno: number, refused: readonly Discarded[]) => this.end(errno, refused));
    return this.run();
  }

  private end(errno: number, refused: readonly Discarded[]): void {
    this.ended.push(errno);
    this.refused = refused;
  }

  /** The image is done with what was asked. */
  answers(errno: number): this {
    const { answer } = this;
    this.answer = null;
    if (answer === null) throw new Error('nothing was asked');
    answer(errno);
    return this.run();
  }

  /** This thread was woken. */
  wake(): this {
    for (const waiting of this.parked.splice(0)) waiting.resume();
    return this.run();
  }

  get waits(): boolean {
    return this.parked.length > 0;
  }

  park(waiting: Parkable): void {
    this.parked.push(waiting);
  }

  defer(task: () => void): void {
    this.tasks.push(task);
  }

  copyOut(x: number, all: boolean, done: (errno: number) => void): void {
    this.asked.push(`copy ${all ? 'all' : 'slot 0'} of ${x}`);
    this.answer = done;
  }

  punch(x: number, first: number, count: number, done: (errno: number) => void): void {
    this.asked.push(`punch ${first} to ${first + count - 1} of ${x}`);
    this.answer = done;
  }

  private run(): this {
    for (let task = this.tasks.shift(); task !== undefined; task = this.tasks.shift()) task();
    return this;
  }
}

/** With text in these slots. */
export function filled(...slots: number[]): SwapoffBench {
  const z = newZswap();
  for (const slot of slots) put(z, slot, makePage('text', slot));
  return new SwapoffBench(z);
}
