/** Random numbers that a seed reproduces, and pages of content that tell which slot and version they are. */

/** A small generator (xorshift32): good enough to pick operations, and the same on every machine. */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0 || 1;
    // The first numbers of neighbouring seeds are alike.
    for (let i = 0; i < 8; i++) this.word();
  }

  word(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** An integer from 0 to `end` - 1. */
  below(end: number): number {
    return this.word() % end;
  }

  chance(probability: number): boolean {
    return this.word() / 2 ** 32 < probability;
  }
}

/** The seed of this run: ZSWAPD_SEED, or another one each time. */
export function chooseSeed(): number {
  const { ZSWAPD_SEED } = process.env;
  return ZSWAPD_SEED === undefined ? Math.trunc(performance.timeOrigin) % 2 ** 31 : Number(ZSWAPD_SEED);
}

export type Texture = 'text' | 'noise' | 'filled';

/** A page that says its slot and version, and compresses well, not at all, or is one repeated word. */
export function pageOf(slot: number, version: number, texture: Texture = 'text'): Buffer {
  const page = Buffer.alloc(4096);
  const words = new Uint32Array(page.buffer, page.byteOffset, 1024);
  if (texture === 'filled') {
    // One 64-bit word, repeated.
    for (let i = 0; i < 1024; i += 2) {
      words[i] = slot + 1;
      words[i + 1] = version;
    }
    return page;
  }
  const random = new Random(slot * 65_537 + version + 1);
  const noise = texture === 'noise' ? 1024 : 256;
  for (let i = 0; i < noise; i++) words[i] = random.word();
  words[0] = slot;
  words[1] = version;
  return page;
}
