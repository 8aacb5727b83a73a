// Entries: an odd generation is alive; exhaustion and double frees are seen.
import t from 'tap';
import { allocEntry, createEntries, freeEntry, highWater, isLive, NONE } from '#src/pool/entries.js';

t.test('the generation is odd exactly while an entry is alive', async (t) => {
  const entries = createEntries(4);
  const e = allocEntry(entries);
  t.strictSame([entries.generation[e], isLive(entries, e)], [1, true]);
  freeEntry(entries, e);
  t.strictSame([entries.generation[e], isLive(entries, e)], [2, false]);
  t.equal(allocEntry(entries), e, 'the entry freed last is used first');
  t.equal(entries.generation[e], 3);
});

t.test('a full table answers NONE, and takes entries again after a free', async (t) => {
  const entries = createEntries(4);
  const got = [allocEntry(entries), allocEntry(entries), allocEntry(entries)];
  t.strictSame(new Set(got), new Set([1, 2, 3]), 'entry 0 stands for none');
  t.equal(allocEntry(entries), NONE);
  freeEntry(entries, 2);
  t.equal(allocEntry(entries), 2);
  t.equal(highWater(entries), 4);
});

t.test('a double free throws and does not put the entry on the free list twice', async (t) => {
  const entries = createEntries(4);
  const e = allocEntry(entries);
  freeEntry(entries, e);
  t.throws(() => freeEntry(entries, e), /double free/);
  t.not(allocEntry(entries), allocEntry(entries));
});

t.test('a new entry is linked to nothing', async (t) => {
  const entries = createEntries(4);
  const [a, b] = [allocEntry(entries), allocEntry(entries)];
  freeEntry(entries, b);
  freeEntry(entries, a);
  const e = allocEntry(entries);
  t.strictSame([entries.prev[e], entries.next[e]], [NONE, NONE]);
});
