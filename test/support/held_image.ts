/**
 * An image whose calls wait until a test lets them go, in the order that it wants and with the result that it wants. What
 * was written is in `bytes`; what a finished sync covers is in `durable` as well: that is all that a kill would leave.
 */
import type { WritableImage } from '#src/image/image.js';

const PAGE = 4096;
const EIO = 5;

type Kind = 'write' | 'punch' | 'zero' | 'sync';

interface Call {
  readonly kind: Kind;
  readonly slot: number;
  readonly count: number;
  readonly pages: readonly Uint8Array[];
  readonly done: (errno: number) => void;
}

export class HeldImage implements WritableImage {
  punches = true;
  direct = true;
  readonly bytes: Uint8Array;
  durable: Uint8Array;
  /** Calls under way, oldest first. */
  readonly calls: Call[] = [];
  closed = false;

  constructor(pages: number) {
    this.bytes = new Uint8Array(pages * PAGE);
    this.durable = this.bytes.slice();
  }

  write(slot: number, pages: readonly Uint8Array[], done: (errno: number) => void): void {
    this.calls.push({ kind: 'write', slot, count: pages.length, pages, done });
  }

  punch(slot: number, count: number, done: (errno: number) => void): void {
    this.calls.push({ kind: 'punch', slot, count, pages: [], done });
  }

  zero(slot: number, count: number, done: (errno: number) => void): void {
    this.calls.push({ kind: 'zero', slot, count, pages: [], done });
  }

  sync(done: (errno: number) => void): void {
    this.calls.push({ kind: 'sync', slot: 0, count: 0, pages: [], done });
  }

  close(): void {
    this.closed = true;
  }

  /** What is under way, such as 'write 3+2'. */
  get underway(): string[] {
    return this.calls.map(({ kind, slot, count }) => (kind === 'sync' ? kind : `${kind} ${slot}+${count}`));
  }

  page(slot: number): Uint8Array {
    return this.bytes.subarray(slot * PAGE, (slot + 1) * PAGE);
  }

  /** Ends the oldest call. One that fails is torn: the first half of each page has arrived. */
  end(errno = 0): void {
    const call = this.calls.shift();
    if (call === undefined) throw new Error('no call is under way');
    const { kind, slot, count, pages, done } = call;
    if (kind === 'write') {
      for (const [i, page] of pages.entries()) {
        this.bytes.set(errno === 0 ? page : page.subarray(0, PAGE / 2), (slot + i) * PAGE);
      }
    } else if (kind !== 'sync' && errno === 0) this.bytes.fill(0, slot * PAGE, (slot + count) * PAGE);
    else if (kind === 'sync' && errno === 0) this.durable = this.bytes.slice();
    done(errno);
  }

  fail(): void {
    this.end(EIO);
  }

  /** Ends calls until none is under way; those that the end of one begins count as well. */
  endAll(): void {
    while (this.calls.length > 0) this.end();
  }
}
