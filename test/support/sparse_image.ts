/**
 * An image of any size whose calls wait until a test ends them, with the result that it wants. It costs what was written.
 */
import type { WritableImage } from '#src/image/image.js';

const PAGE = 4096;

interface Call {
  readonly what: 'write' | 'punch' | 'zero' | 'sync';
  readonly slot: number;
  readonly count: number;
  readonly pages: readonly Uint8Array[];
  readonly done: (errno: number) => void;
}

export class SparseImage implements WritableImage {
  readonly punches = true;
  readonly direct = true;
  /** Under way, oldest first. */
  readonly calls: Call[] = [];
  private readonly written = new Map<number, Uint8Array>();

  write(slot: number, pages: readonly Uint8Array[], done: (errno: number) => void): void {
    this.calls.push({ what: 'write', slot, count: pages.length, pages, done });
  }

  punch(slot: number, count: number, done: (errno: number) => void): void {
    this.calls.push({ what: 'punch', slot, count, pages: [], done });
  }

  zero(slot: number, count: number, done: (errno: number) => void): void {
    this.calls.push({ what: 'zero', slot, count, pages: [], done });
  }

  sync(done: (errno: number) => void): void {
    this.calls.push({ what: 'sync', slot: 0, count: 0, pages: [], done });
  }

  close(): void {}

  page(slot: number): Uint8Array {
    return this.written.get(slot) ?? new Uint8Array(PAGE);
  }

  /** What is under way, such as 'write 3+2'. */
  get underway(): string[] {
    return this.calls.map(({ what, slot, count }) => `${what} ${slot}+${count}`);
  }

  /** Ends the oldest call. One that fails has done nothing. */
  end(errno = 0): void {
    const call = this.calls.shift();
    if (call === undefined) throw new Error('no call is under way');
    const { what, slot, count, pages, done } = call;
    if (errno === 0) {
      for (const [i, page] of pages.entries()) this.written.set(slot + i, page.slice());
      if (what === 'punch' || what === 'zero') for (let i = 0; i < count; i++) this.written.delete(slot + i);
    }
    done(errno);
  }

  /** Ends calls until none is under way; those that the end of one begins count as well. */
  endAll(): void {
    while (this.calls.length > 0) this.end();
  }
}
