/**
 * The simulated image: memory in place of a file, behind the same contract. A call only notes what to do; it is done,
 * and its callback runs, when the thread comes back to its loop: a step of its own, as a completion is in service.
 *
 * Of calls that run at once the oldest is done first, or with `lastFirst` the newest. A write that fails is torn, unless the
 * scenario says otherwise: half of its pages have reached the image, the last of them in half.
 */

import type { Image } from '../../image/image.ts';
import { EIO } from '../../os/errno.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import * as sync from '../../shm/sync.ts';
import type { ImageFaults } from '../scenarios/scenario.ts';
import { numberOf, placeOf, type SimImageMemory, SLOTS } from './world.ts';

interface ImageOptions extends ImageFaults {
  readonly lastFirst?: boolean;
  /** What a read has found arrives in a call of its own: other calls may come between, and whoever looks at it has an old page. */
  readonly lateReads?: boolean;
  /** Called when a call has changed what the image, or the disk behind it, holds. */
  readonly onChange?: () => void;
  /** Called when a failed write has torn what it holds of a slot. */
  readonly onTorn?: (number: number) => void;
}

export class SimImage implements Image {
  readonly punches = true;
  readonly direct = true;
  private readonly memory: SimImageMemory;
  private readonly x: number;
  private readonly point: (text: string) => void;
  private readonly waiting: { what: string; run: () => void }[] = [];
  private passes: number;
  private failures: number;
  private readsToFail: number;
  private punchesToFail: number;
  private readonly lastFirst: boolean;
  private readonly options: ImageOptions;

  /** Of export `x`. `point` is called before each completion. */
  constructor(memory: SimImageMemory, x: number, point: (text: string) => void, options: ImageOptions = {}) {
    this.x = x;
    this.memory = memory;
    this.point = point;
    this.passes = options.okWrites ?? 0;
    this.failures = options.failWrites ?? 0;
    this.readsToFail = options.failReads ?? 0;
    this.punchesToFail = options.failPunches ?? 0;
    this.lastFirst = options.lastFirst ?? false;
    this.options = options;
  }

  read(slot: number, count: number, dst: Uint8Array, at: number, done: (errno: number) => void): void {
    if (this.readsToFail-- > 0) {
      this.later(`image: the read of slot ${slot} fails`, () => done(EIO));
      return;
    }
    this.later(`image: slot ${slot} is read`, () => {
      dst.set(this.memory.bytes.subarray(this.at(slot), this.at(slot) + count * PAGE_SIZE), at);
      if (this.options.lateReads === true) this.later(`image: what slot ${slot} had arrives`, () => done(0));
      else done(0);
    });
  }

  write(slot: number, pages: readonly Uint8Array[], done: (errno: number) => void): void {
    if (this.passes-- <= 0 && this.failures > 0) {
      this.failures--;
      this.later(`image: the write of slot ${slot} fails`, () => {
        if (this.options.intact !== true) this.tear(slot, pages);
        done(this.options.silent === true ? 0 : EIO);
      });
      return;
    }
    this.later(`image: slot ${slot} is written`, () => {
      pages.forEach((page, i) => {
        this.memory.bytes.set(page, this.at(slot + i));
      });
      this.options.onChange?.();
      done(0);
    });
  }

  private tear(slot: number, pages: readonly Uint8Array[]): void {
    const torn = pages.length >> 1;
    pages.slice(0, torn + 1).forEach((page, i) => {
      const written = i < torn ? page : page.subarray(0, PAGE_SIZE / 2);
      this.memory.bytes.set(written, this.at(slot + i));
      this.options.onTorn?.(numberOf(this.x, slot + i));
    });
  }

  punch(slot: number, count: number, done: (errno: number) => void): void {
    if (this.punchesToFail-- > 0) {
      this.later(`image: the punch of slot ${slot} fails`, () => done(EIO));
      return;
    }
    this.later(`image: slots ${slot} to ${slot + count - 1} are punched`, () => {
      this.memory.bytes.fill(0, this.at(slot), this.at(slot) + count * PAGE_SIZE);
      this.options.onChange?.();
      done(0);
    });
  }

  zero(slot: number, count: number, done: (errno: number) => void): void {
    this.punch(slot, count, done);
  }

  sync(done: (errno: number) => void): void {
    if (this.options.failSyncs === true) {
      this.later('image: the sync fails', () => done(EIO));
      return;
    }
    this.later('image: sync', () => {
      const of = this.at(0);
      this.memory.durable.set(this.memory.bytes.subarray(of, of + SLOTS * PAGE_SIZE), of);
      this.options.onChange?.();
      done(0);
    });
  }

  /** Where the bytes of a slot begin. */
  private at(slot: number): number {
    return placeOf(numberOf(this.x, slot)) * PAGE_SIZE;
  }

  close(): void {
    this.waiting.length = 0;
  }

  /** Completes a call; false when there is none. */
  complete(): boolean {
    const call = this.lastFirst ? this.waiting.pop() : this.waiting.shift();
    if (call === undefined) return false;
    // One word stands for the image's bytes, so that the order of two calls counts.
    sync.add(this.memory.calls, 0, 1);
    this.point(call.what);
    call.run();
    return true;
  }

  private later(what: string, run: () => void): void {
    this.waiting.push({ what, run });
  }
}
