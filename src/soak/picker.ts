/**
 * Which slots an operation takes. A guest uses some of its swap much more than the rest, and what it uses moves on. Slots that
 * another operation has are locked, as by the swap cache: the model needs that nobody else changes them meanwhile.
 */
import type { Model } from './model.ts';
import type { Random } from './random.ts';

/** Of the slots that are hot, and of the picks that go there. */
const HOT_SHARE = 0.25;
const HOT_PICKS = 0.7;
/** After so many picks the hot part moves. */
const MOVES_EVERY = 20_000;
/** Locked slots are passed by so often; then the caller does something else. */
const TRIES = 16;

export interface Range {
  readonly slot: number;
  readonly count: number;
}

export class Picker {
  readonly #locked: Uint8Array;
  readonly #model: Model;
  readonly #random: Random;
  #picks = 0;
  #hot = 0;

  constructor(model: Model, random: Random) {
    this.#model = model;
    this.#random = random;
    this.#locked = new Uint8Array(model.slots);
  }

  /** Locks up to `most` slots in a row, from a multiple of `align` on. Null where all that were tried are locked. */
  lock(most: number, align = 1): Range | null {
    for (let i = 0; i < TRIES; i++) {
      const slot = Math.floor(this.#draw() / align) * align;
      let count = 0;
      while (count < most && slot + count < this.#model.slots && this.#isFree(slot + count)) count++;
      if (count === 0) continue;
      this.#locked.fill(1, slot, slot + count);
      return { slot, count };
    }
    return null;
  }

  unlock({ slot, count }: Range): void {
    this.#locked.fill(0, slot, slot + count);
  }

  /** One that nobody can say much of any more is left to be read by whoever verifies all. */
  #isFree(slot: number): boolean {
    return this.#locked[slot] === 0 && !this.#model.isCrowded(slot);
  }

  #draw(): number {
    const { slots } = this.#model;
    if (this.#picks++ % MOVES_EVERY === 0) this.#hot = this.#random.below(slots);
    if (!this.#random.chance(HOT_PICKS)) return this.#random.below(slots);
    return (this.#hot + this.#random.below(Math.ceil(slots * HOT_SHARE))) % slots;
  }
}
