/**
 * When a fault happens: the attributes of the kernel's lib/fault-inject.c, decided by the number of the match, so that the same
 * seed decides the same way again. Pure: who counts is table.ts.
 *
 *   nth          the match with this number and no other; the rest does not count (/proc/<pid>/fail-nth)
 *   space        a budget that matches use up, one each, before any fails: as there, one less than it says
 *   interval     of what is left each so-manieth can fail
 *   probability  and of these so many in a hundred do
 *   times        so often and no more; -1 is for ever
 */
export interface When {
  readonly probability: number;
  readonly interval: number;
  readonly times: number;
  readonly space: number;
  /** Null: it is not asked for. */
  readonly nth: number | null;
}

/** Whether match `n`, counted from 1, is to fail, as far as `times` lets it. `key` is of keyOf. */
export function decides({ probability, interval, space, nth }: When, key: number, n: number): boolean {
  if (nth !== null) return n === nth;
  const counted = n - Math.max(0, space - 1);
  if (counted <= 0 || counted % interval !== 0) return false;
  return probability >= 100 || drawn(key, n, 0) * 100 < probability;
}

/** What all draws of a fault begin with. */
export function keyOf(seed: number, id: string): number {
  // FNV-1a over the id, and both halves of the seed.
  let key = 0x811c9dc5;
  for (const byte of Buffer.from(id, 'utf8')) key = Math.imul(key ^ byte, 0x01000193);
  return mix(mix(key ^ (seed % 2 ** 32)) ^ Math.floor(seed / 2 ** 32));
}

/** From [0, 1), the draw `which` for match `n`: each is independent of the others. */
export function drawn(key: number, n: number, which: number): number {
  const a = mix(
    mix(key ^ (n % 2 ** 32)) + Math.imul(Math.floor(n / 2 ** 32) + 1, 0x9e3779b1) + Math.imul(which, 0x85ebca77),
  );
  const b = mix(a ^ 0x6a09e667);
  return ((a >>> 0) * 2 ** 21 + ((b >>> 0) >>> 11)) / 2 ** 53;
}

/** The last step of MurmurHash3: each bit of the result depends on each of the word. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}
