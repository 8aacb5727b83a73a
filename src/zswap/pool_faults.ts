/**
 * The faults of the pool, as one thread injects them: there only while a plan names a site of the pool. store.ts asks before it
 * compresses and allocates, zswap.ts before it looks at an object and after it has found an entry.
 *
 * What is flipped stays within what checksums notice, and within the page it is of: a length is another one for one look, and
 * not for the free of the object, which would take its allocator down; a tree leads past an entry, and not to a stranger's, which
 * would be freed in its place.
 */
import type { Gate, Injection } from '../faults/gate.ts';
import type { SiteName } from '../faults/sites.ts';
import { ageOf, TICK_MS } from '../pool/access_time.ts';
import { COMPRESS_FAILED } from '../pool/codec.ts';
import { LENGTH_SAME_FILLED } from '../pool/entries.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { sumOf } from './checksums.ts';
import type { PoolFaults } from './outward.ts';
import type { Zswap } from './zswap.ts';

/** Bits of a length: up to 4096. */
const LENGTH_BITS = 13;
const WORD_BITS = 32;

export class InjectedFaults implements PoolFaults {
  private readonly gate: Gate;
  private readonly zswap: Zswap;
  /**
   * Slots whose entries are hidden from this thread until the image was read in their place, by export, each with the sum of the
   * page that is hidden. A READ that is given up does not get to the image, and what is written after that is not hidden.
   */
  private readonly hidden = new Map<number, Map<number, number>>();

  constructor(gate: Gate, zswap: Zswap) {
    this.gate = gate;
    this.zswap = zswap;
  }

  compress(x: number, slot: number, page: Uint8Array): number {
    const injection = this.first('pool.compress', x, slot);
    if (injection?.action === 'fail') return COMPRESS_FAILED;
    // The sum of the page is wanted all the same.
    const bytes = this.zswap.codec.compress(page);
    return injection === null ? bytes : PAGE_SIZE;
  }

  allocFails(x: number, slot: number): boolean {
    return this.first('pool.allocate', x, slot) !== null;
  }

  lengthOf(e: number): number {
    const { entries } = this.zswap;
    if (this.ofEntry('pool.decompress', e) !== null) return -1;
    const isFilled = entries.length[e] === LENGTH_SAME_FILLED;
    const flip = isFilled ? null : this.ofEntry('pool.object', e);
    if (flip !== null) this.flipObject(e, flip);
    const other = this.ofEntry('pool.entry', e);
    if (other === null) return entries.length[e];
    if (!isFilled) return entries.length[e] ^ (1 << other.draw(0, LENGTH_BITS));
    entries.fill[e] ^= 1 << other.draw(0, WORD_BITS);
    return LENGTH_SAME_FILLED;
  }

  hides(x: number, slot: number): boolean {
    const sum = sumOf(this.zswap.shared, x, slot);
    if (this.hidden.get(x)?.get(slot) === sum) return true;
    this.shown(x, slot);
    if (this.first('pool.tree', x, slot) === null) return false;
    const slots = this.hidden.get(x) ?? new Map();
    this.hidden.set(x, slots.set(slot, sum));
    return true;
  }

  shown(x: number, slot: number): void {
    this.hidden.get(x)?.delete(slot);
  }

  private flipObject(e: number, flip: Injection): void {
    const { objects, entries } = this.zswap;
    objects.map(e);
    const byte = objects.offset(e) + flip.draw(0, entries.length[e]);
    objects.segment(e)[byte] ^= 1 << flip.draw(1, 8);
    objects.unmap(e);
  }

  private ofEntry(site: SiteName, e: number): Injection | null {
    const { entries, shared } = this.zswap;
    const age = ageOf(shared.clock, entries.accessed[e]) * TICK_MS;
    return this.gate.reach(site, { x: entries.volume[e], slot: entries.slot[e], age }).at(0) ?? null;
  }

  private first(site: SiteName, x: number, slot: number): Injection | null {
    return this.gate.reach(site, { x, slot }).at(0) ?? null;
  }
}
