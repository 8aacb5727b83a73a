/**
 * Looks for pins that nobody will drop: a protocol that forgets one (`strandPageOnAbort`) would let the requests of that
 * slot wait for ever, and nothing else would notice, because parked requests block no thread.
 *
 * Lanes hold pins while an image call runs, for as long as a stalled image takes: that is no fault. The shrinker and the
 * main thread drop a pin before they wait for anything. So what is reported is a pin of one of those that somebody waits
 * for, and that was the same pin at each look for STUCK_MS; one that was handed to it is not, because it may have its hands full,
 * or no processor, and nobody holds the pin until it comes. Looks are counted, and not the time of day: a machine that
 * was paused for a minute has not waited for anybody.
 */
import { THREAD_LANE0 } from '../pool/limits.ts';
import { bucketOf, HANDED, HOLDER_MASK, type SlotTable, WATCHED } from '../pool/slot_table.ts';
import * as sync from '../shm/sync.ts';

/** Between two looks. */
export const LOOK_MS = 1000;

interface StrandedPin {
  readonly x: number;
  readonly slot: number;
  /** Who waits, for how long, and who holds the pin. */
  readonly report: string;
}

export class PinWatch {
  private readonly t: SlotTable;
  /** Per slot record, the looks that found the same pin waited for. */
  private readonly looks: Uint8Array;

  /** One thread of the process watches a table. */
  constructor(t: SlotTable) {
    this.t = t;
    this.looks = new Uint8Array(t.locked.length);
  }

  /** Called every LOOK_MS; says what has been stuck for too long. `scrubbed`: the record that a scrub holds while the image is read, or 0. */
  look(scrubbed = 0): StrandedPin | null {
    const { t } = this;
    for (let r = 1; r < t.locked.length; r++) {
      // The thread's number plus one; 0 when nobody holds it.
      const word = sync.load(t.locked, r);
      const holder = (word & HANDED) === 0 ? word & HOLDER_MASK : 0;
      const waiters = r !== scrubbed && holder > 0 && holder - 1 < THREAD_LANE0 ? this.waitersOf(r) : 0;
      this.looks[r] = waiters > 0 ? this.looks[r] + 1 : 0;
      const waited = this.looks[r] * LOOK_MS;
      if (waited >= sync.STUCK_MS) {
        const waiter = 32 - Math.clz32(waiters & -waiters);
        const report = `thread ${waiter} waited ${waited} ms for a pin that thread ${holder} does not drop`;
        return { x: t.volume[r], slot: t.slot[r], report };
      }
    }
    return null;
  }

  /** The threads that wait for the pin of record `r`, negative if it is another pin than at the last look; 0 for none. */
  private waitersOf(r: number): number {
    const { t } = this;
    const b = bucketOf(t.volume[r], t.slot[r]);
    sync.lock(t.buckets, b);
    // The record may have become another slot's before the lock was held, and that slot's bucket may be another one.
    const here = bucketOf(t.volume[r], t.slot[r]) === b && t.locked[r] !== 0;
    const waiters = here ? t.waiters[r] & ~WATCHED : 0;
    const seen = here && (t.waiters[r] & WATCHED) !== 0;
    if (waiters !== 0) t.waiters[r] |= WATCHED;
    sync.unlock(t.buckets, b);
    return seen ? waiters : -waiters;
  }
}
