/**
 * Read-copy-update by counting: one word per thread, odd while the thread is inside a read section.
 *
 * What a reader may still look at is given back only after every thread has been seen outside, or in a later section. A
 * section is short and does not nest. Readers pay two additions; who frees pays the rest.
 */
import * as sync from './sync.ts';

export function enter(words: Int32Array, thread: number): void {
  sync.add(words, thread, 1);
}

export function exit(words: Int32Array, thread: number): void {
  sync.add(words, thread, 1);
}

/** Waits until every section that runs now is over. The caller is in none, and holds no lock that a reader may want. */
export function synchronize(words: Int32Array): void {
  for (let thread = 0; thread < words.length; thread++) {
    const seen = sync.load(words, thread);
    if ((seen & 1) === 1) sync.retry(words, thread, seen);
  }
}

/** Notes which sections run now, for `over`. */
export function note(words: Int32Array, into: Int32Array, at: number): void {
  for (let thread = 0; thread < words.length; thread++) into[at + thread] = sync.load(words, thread);
}

/** True if every noted section is over; never waits. */
export function over(words: Int32Array, noted: Int32Array, at: number): boolean {
  for (let thread = 0; thread < words.length; thread++) {
    const seen = noted[at + thread];
    if ((seen & 1) === 1 && sync.load(words, thread) === seen) return false;
  }
  return true;
}
