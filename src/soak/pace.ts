/** Lets so many begin in a second, evenly, and whoever is late does not make up for it. */
import { setTimeout as delay } from 'node:timers/promises';

export class Pace {
  readonly #everyMs: number;
  #nextMs = 0;

  /** Infinity: nobody waits. */
  constructor(perSecond: number) {
    this.#everyMs = 1000 / perSecond;
  }

  async turn(): Promise<void> {
    if (this.#everyMs === 0) return;
    const now = performance.now();
    const mine = Math.max(now, this.#nextMs);
    this.#nextMs = mine + this.#everyMs;
    if (mine > now) await delay(mine - now);
  }
}
