/**
 * The scrub (`pool.scrub`): reads what nobody reads, and compares it with its checksum, so that what has gone wrong is known before
 * it is wanted. It lives in the shrinker's thread, walks the slots in use of one export after the other and begins again, at a rate.
 *
 *   tick: so many pages are allowed -> step: a few slots, each tried for its pin -> page | entry: compared at once
 *                                                              -> image: read, without the pin -> as noted: the next step
 *                                                                                  -> not as noted: read again, pin held
 *
 * A page that is read without its pin may be written meanwhile, so that it proves nothing where it is not what was noted; the pin
 * does. So nobody waits for an image because of a scrub, but for a slot that is most likely wrong.
 *
 * It disturbs nobody: a slot that is in use is passed by, a look changes neither age nor second chance nor zswpin, and one page at a
 * time is read from an image, whichever it is; one that stalls stalls the scrub. A slot of which nothing is known costs no look.
 * An export that takes no writes (swapped off or on the way, draining) is passed by; asked under the pin, which a swapoff waits for.
 */
import type { ReadableImage } from '../image/image.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { findBit, testBit } from '../pool/bits.ts';
import { NONE } from '../pool/entries.ts';
import { takesWrites } from '../pool/export_state.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { CTL } from '../pool/shared.ts';
import { get, lockTree, treeOf, unlockTree } from '../pool/tree.ts';
import { uint8 } from '../shm/columns.ts';
import * as sync from '../shm/sync.ts';
import { isKnown } from './checksums.ts';
import { SCRUB } from './counters.ts';
import type { Zswap } from './zswap.ts';

const TICK_MS = 250;
/** Pages of a step: a tenth of a millisecond, then the event loop has its turn. */
const PAGES_PER_STEP = 8;
/** Slots that are used and have nothing to compare, and slots at all, that a step looks through: below a millisecond. What is left has the next tick. */
const USED_PER_STEP = 4096;
const SLOTS_PER_STEP = 2 ** 20;

/** A pass of no more pages than this takes a tick at least, whatever the rate. */
const FEW = 64;

interface ScrubOptions {
  /** Bytes in a second, above 0. */
  readonly rate: number;
  readonly loop: Loop;
  /** By export; another one is used from the next read on. */
  readonly images: readonly ReadableImage[];
  /** Told of each read that failed: to be logged once, counted here. */
  readonly onUnreadable: (x: number, errno: number) => void;
}

/** What became of a slot; the image has it where it is READING. */
const PASSED = 0;
const VERIFIED = 1;
const READING = 2;

export class Scrub {
  private readonly zswap: Zswap;
  private readonly o: ScrubOptions;
  /** Where a page is decompressed to, or read to; never both at a time. Starts on a page, for O_DIRECT. */
  private readonly page = uint8(PAGE_SIZE);
  private readonly timer: Timer;
  private readonly pagesPerTick: number;
  /** Pages that may still be verified: of a tick at most, so that a pause is not made up for. */
  private allowed = 0;
  private x = 0;
  private slot = 0;
  /** Pages of the pass under way. */
  private verified = 0;
  private scheduled = false;
  private reading = false;
  private closed = false;

  constructor(zswap: Zswap, options: ScrubOptions) {
    this.zswap = zswap;
    this.o = options;
    this.pagesPerTick = (options.rate * TICK_MS) / 1000 / PAGE_SIZE;
    this.timer = options.loop.every(TICK_MS, () => this.tick());
  }

  close(): void {
    this.closed = true;
    this.timer.cancel();
  }

  private tick(): void {
    this.allowed = Math.min(this.allowed + this.pagesPerTick, Math.max(this.pagesPerTick, 1));
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled || this.reading || this.allowed < 1) return;
    this.scheduled = true;
    this.o.loop.defer(() => {
      this.scheduled = false;
      if (!this.closed && this.step()) this.schedule();
    });
  }

  /** True while there is more to do in this tick. */
  private step(): boolean {
    let slots = SLOTS_PER_STEP;
    let used = USED_PER_STEP;
    for (let pages = 0; pages < PAGES_PER_STEP && this.allowed >= 1; ) {
      if (slots <= 0 || used-- <= 0) return false;
      const { x, slot: from } = this;
      if (!this.find(slots)) {
        slots -= this.slot - from;
        if (!this.atEnd() || !this.nextExport()) return false;
        continue;
      }
      const { slot } = this;
      slots -= slot + 1 - from;
      this.slot = slot + 1;
      const became = this.verify(x, slot);
      if (became === PASSED) continue;
      pages++;
      this.allowed--;
      if (became === READING) return false;
    }
    return true;
  }

  /** Moves to the next slot in use, of `most`; false where there is none. */
  private find(most: number): boolean {
    const { shared, settings } = this.zswap;
    const { pages } = settings.exports[this.x];
    if (!takesWrites(shared.states, this.x)) this.slot = pages;
    const end = Math.min(pages, this.slot + most);
    this.slot = findBit(shared.users, this.x, this.slot, end, true);
    return this.slot < end;
  }

  private atEnd(): boolean {
    return this.slot >= this.zswap.settings.exports[this.x].pages;
  }

  /** False at the end of a pass of few pages, which ends the tick: they are not compared over and over. */
  private nextExport(): boolean {
    this.slot = 0;
    this.x++;
    if (this.x < this.zswap.settings.exports.length) return true;
    this.x = 0;
    const { verified } = this;
    this.verified = 0;
    if (verified > 0) this.zswap.counters[SCRUB.scrub_passes]++;
    return verified > FEW;
  }

  /** `again`: the image did not have what was noted. */
  private verify(x: number, slot: number, again = false): number {
    const { zswap } = this;
    if (!isKnown(zswap.shared, x, slot)) return PASSED;
    const r = zswap.slots.tryPin(x, slot);
    if (r <= 0) return PASSED;
    // Nobody is to wait for a pin of ours that we may hold for as long as an image takes.
    if (zswap.protocols.busy.waits) zswap.slots.fill(r);
    sync.store(zswap.shared.control, CTL.SCRUBBED, r);
    const became = this.verifyPinned(r, x, slot);
    if (became === READING && again) this.readPinned(r, x, slot);
    else {
      this.unpin(r);
      if (became === READING) this.readFree(x, slot);
    }
    return became;
  }

  private unpin(r: number): void {
    sync.store(this.zswap.shared.control, CTL.SCRUBBED, 0);
    this.zswap.slots.unpin(r);
  }

  private verifyPinned(r: number, x: number, slot: number): number {
    const { zswap } = this;
    const { shared } = zswap;
    if (!testBit(shared.users, x, slot) || testBit(shared.lost, x, slot) || zswap.isSwappedOff(x)) return PASSED;
    const buffer = zswap.slots.t.page[r];
    if (buffer !== 0) zswap.isStored(x, slot, zswap.page(buffer), 0);
    else if (!this.verifyEntry(x, slot)) return READING;
    this.count();
    return VERIFIED;
  }

  /**
   * False if there is no entry. Not by the protocol's load, which makes an entry look used. Where the pin does not keep an entry,
   * the lock of its tree does: whoever frees it takes it out of there first.
   */
  private verifyEntry(x: number, slot: number): boolean {
    const { zswap } = this;
    const { trees, protocols } = zswap;
    const tree = treeOf(trees, x, slot);
    lockTree(trees, tree);
    const e = get(trees, tree, slot);
    const isKept = protocols.entry.pinKeepsEntry === true;
    if (isKept) unlockTree(trees, tree);
    // Twice, because who is called wrong is lost for good.
    const ok = e === NONE || zswap.decompress(e, this.page) || zswap.decompress(e, this.page);
    if (!isKept) unlockTree(trees, tree);
    if (e === NONE) return false;
    if (ok) zswap.isStored(x, slot, this.page);
    else {
      zswap.count('decompress_fail');
      zswap.mismatched(x, slot, 'pool');
    }
    return true;
  }

  private readFree(x: number, slot: number): void {
    const { zswap } = this;
    this.readImage(x, slot, () => {
      if (zswap.sums.agrees(x, slot, this.page, 0)) this.count();
      else if (!this.closed && takesWrites(zswap.shared.states, x)) this.verify(x, slot, true);
    });
  }

  private readPinned(r: number, x: number, slot: number): void {
    const { zswap } = this;
    const compare = (): void => {
      zswap.agrees(x, slot, this.page, 0);
      this.count();
    };
    this.readImage(x, slot, compare, () => this.unpin(r));
  }

  private readImage(x: number, slot: number, compare: () => void, end = (): void => undefined): void {
    this.reading = true;
    this.o.images[x].read(slot, 1, this.page, 0, (errno) => {
      this.reading = false;
      if (errno === 0) compare();
      else if (!this.closed) {
        this.zswap.counters[SCRUB.scrub_read_errors]++;
        this.o.onUnreadable(x, errno);
      }
      end();
      this.schedule();
    });
  }

  private count(): void {
    this.verified++;
    this.zswap.counters[SCRUB.scrubbed_pages]++;
  }
}
