/**
 * What each sector of the device may hold, as a client must believe it. An operation ends ok, failed or unanswered:
 * - ok: its sectors hold what it wrote, and nothing else;
 * - failed or unanswered: old or new bytes are right, until the next WRITE that ends ok, or a READ that shows which (settles it).
 *   What was settled as old may not turn new later: the operation's connection has ended by then, and nothing of it may land;
 * - a crash of a server that is strict: what the last FLUSH covered, or anything that was acknowledged or sent since.
 *
 * Invariant: whoever changes a slot has it locked, so operations on one slot come one after the other.
 */
import { SECTORS, type Version, versionOf } from './page.ts';

/** All sectors of a page. */
export const WHOLE = (1 << SECTORS) - 1;
/** Versions of one slot that may be there beside the settled one; a slot with more is read before it is written again. */
const UNSURE_MAX = 16;

/** A write of some sectors that may be there. */
interface Maybe {
  readonly mask: number;
  readonly version: Version;
  /** When it ended, in the order of all. */
  readonly order: number;
  /** It is known to have been there: it was acknowledged, or read. */
  readonly sure: boolean;
}

export class Model {
  readonly slots: number;
  /** Bytes that a sector holds if nothing else is said of it. */
  readonly #settled: Float64Array;
  readonly #generations: Float64Array;
  readonly #unsure = new Map<number, Maybe[]>();
  /**
   * Of a server that is strict: what the last flush covered, and what may be on the disk in place of it: what ended since, and
   * what was unsure when it was flushed, until something sure is flushed over it.
   */
  readonly #flushed: Float64Array | null;
  readonly #since = new Map<number, Maybe[]>();
  readonly #distrusted: Uint8Array;
  #order = 0;

  constructor(slots: number, strict: boolean) {
    this.slots = slots;
    this.#settled = new Float64Array(slots * SECTORS);
    this.#generations = new Float64Array(slots);
    this.#flushed = strict ? new Float64Array(slots * SECTORS) : null;
    this.#distrusted = new Uint8Array(slots);
  }

  /** A version that the slot never had. */
  next(slot: number, writer: number): Version {
    return versionOf(++this.#generations[slot], writer);
  }

  generation(slot: number): number {
    return this.#generations[slot];
  }

  /** It was answered without an error: these sectors hold it, whatever was unsure before. Version 0 are zeros. */
  ok(slot: number, mask: number, version: Version): void {
    for (let s = 0; s < SECTORS; s++) if (mask & (1 << s)) this.#settled[slot * SECTORS + s] = version;
    this.#narrow(slot, mask);
    if (mask === WHOLE) this.#distrusted[slot] = 0;
    this.#owe(slot, mask, version, true);
  }

  /** It failed, or was not answered: these sectors hold what they held, or this. */
  maybe(slot: number, mask: number, version: Version): void {
    push(this.#unsure, slot, { mask, version, order: this.#order, sure: false });
    this.#owe(slot, mask, version, false);
  }

  /** Versions that a READ of the sector may show, the settled one first. */
  allowed(slot: number, sector: number): Version[] {
    const found = [this.#settled[slot * SECTORS + sector]];
    for (const { mask, version } of this.#unsure.get(slot) ?? []) if (mask & (1 << sector)) found.push(version);
    return found;
  }

  /** The one version of the whole page; undefined if sectors differ, or if it is unsure. */
  whole(slot: number): Version | undefined {
    if (this.#unsure.has(slot)) return undefined;
    const at = slot * SECTORS;
    const version = this.#settled[at];
    for (let s = 1; s < SECTORS; s++) if (this.#settled[at + s] !== version) return undefined;
    return version;
  }

  /** A READ has shown which of the allowed versions it is. */
  settle(slot: number, sector: number, version: Version): void {
    const mask = 1 << sector;
    if (!(this.#unsure.get(slot) ?? []).some((one) => one.mask & mask)) return;
    this.#settled[slot * SECTORS + sector] = version;
    this.#owe(slot, mask, version, true);
    this.#narrow(slot, mask);
  }

  isUnsure(slot: number): boolean {
    return this.#unsure.has(slot);
  }

  isCrowded(slot: number): boolean {
    return (this.#unsure.get(slot)?.length ?? 0) >= UNSURE_MAX;
  }

  get unsureSlots(): number {
    return this.#unsure.size;
  }

  /** It was wrong once and is told: nothing is expected of it until it is written as a whole. */
  distrust(slot: number): void {
    this.#distrusted[slot] = 1;
  }

  isDistrusted(slot: number): boolean {
    return this.#distrusted[slot] === 1;
  }

  /** A FLUSH is sent now; what it answers to `flushed` when it was acknowledged. */
  flushing(): number {
    return this.#order;
  }

  /** What had ended when the FLUSH was sent is durable. */
  flushed(order: number): void {
    if (this.#flushed === null) return;
    for (const [slot, list] of this.#since) {
      let left: Maybe[] = [];
      for (const one of list) {
        if (one.order > order || !one.sure) {
          left.push(one);
          continue;
        }
        for (let s = 0; s < SECTORS; s++) if (one.mask & (1 << s)) this.#flushed[slot * SECTORS + s] = one.version;
        left = without(left, one.mask);
      }
      if (left.length === 0) this.#since.delete(slot);
      else this.#since.set(slot, left);
    }
  }

  /** The server was killed, and serves again: what was not flushed is there or not. */
  crash(): void {
    if (this.#flushed === null) throw new Error('a server that is not strict keeps nothing over a crash');
    for (const [slot, list] of this.#since) {
      for (let s = 0; s < SECTORS; s++) {
        const at = slot * SECTORS + s;
        if (!list.some(({ mask }) => mask & (1 << s))) continue;
        this.#settled[at] = this.#flushed[at];
      }
      const unsure = list.map((one) => ({ ...one, sure: false }));
      this.#since.set(slot, unsure);
      this.#unsure.set(slot, [...unsure]);
    }
  }

  /** All that it held was discarded. */
  empty(): void {
    for (const one of [this.#settled, this.#flushed, this.#distrusted]) one?.fill(0);
    this.#unsure.clear();
    this.#since.clear();
  }

  /** A flush has yet to cover it. */
  #owe(slot: number, mask: number, version: Version, sure: boolean): void {
    if (this.#flushed !== null) push(this.#since, slot, { mask, version, order: ++this.#order, sure });
  }

  /** These sectors are sure now. */
  #narrow(slot: number, mask: number): void {
    const list = this.#unsure.get(slot);
    if (list === undefined) return;
    const left = without(list, mask);
    if (left.length === 0) this.#unsure.delete(slot);
    else this.#unsure.set(slot, left);
  }
}

function without(list: readonly Maybe[], mask: number): Maybe[] {
  return list.flatMap((one) => ((one.mask & ~mask) === 0 ? [] : [{ ...one, mask: one.mask & ~mask }]));
}

function push(map: Map<number, Maybe[]>, slot: number, one: Maybe): void {
  const list = map.get(slot);
  if (list === undefined) map.set(slot, [one]);
  else list.push(one);
}
