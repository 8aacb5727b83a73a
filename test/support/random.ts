/** Random numbers that a seed reproduces, and pages of content that tell which slot and version they are. */

import { Xorshift } from '#src/soak/random.js';

export class Random extends Xorshift {
  readonly seed: number;

  constructor(seed: number) {
    super(seed);
    this.seed = seed;
    // The first numbers of neighbouring seeds are alike.
    for (let i = 0; i < 8; i++) this.word();
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
