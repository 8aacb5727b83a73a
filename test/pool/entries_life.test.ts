// The life of an entry at its edges: generations that wrap, and what checking finds.
import t from 'tap';
import {
  allocEntry,
  checkLive,
  createEntries,
  entryBytes,
  freeEntry,
  highWater,
  isLive,
  NONE,
  setChecking,
} from '#src/pool/entries.js';

t.test('a generation that wraps is still odd for the living and even for the dead', async (t) => {
  const entries = createEntries(3);
  const e = allocEntry(entries);
  entries.generation[e] = 0xffffffff;
  t.ok(isLive(entries, e));
  freeEntry(entries, e);
  t.strictSame([entries.generation[e], isLive(entries, e)], [0, false]);
  t.throws(() => freeEntry(entries, e), /double free/);
  t.equal(allocEntry(entries), e);
  t.strictSame([entries.generation[e], isLive(entries, e)], [1, true]);
});

t.test('the high-water mark is what was ever used, and goes no further than the table', async (t) => {
  const entries = createEntries(3);
  t.equal(highWater(entries), 1);
  const first = allocEntry(entries);
  freeEntry(entries, first);
  t.equal(allocEntry(entries), first);
  t.equal(highWater(entries), 2);
  t.strictSame([allocEntry(entries), allocEntry(entries), allocEntry(entries)], [2, NONE, NONE]);
  t.equal(highWater(entries), 3);
  t.notOk(isLive(entries, NONE));
});

t.test('checking finds the use of a freed entry, whose fields name nothing', async (t) => {
  t.teardown(() => setChecking(false));
  const entries = createEntries(3);
  const e = allocEntry(entries);
  entries.slot[e] = 5;
  entries.volume[e] = 1;
  entries.fill[e] = 3;
  setChecking(true);
  checkLive(entries, e);
  freeEntry(entries, e);
  t.throws(() => checkLive(entries, e), /use after free: entry 1/);
  t.strictSame([entries.slot[e], entries.volume[e], entries.fill[e]], [0xffffffff, 0xff, 0x6b6b6b6b]);
  setChecking(false);
  checkLive(entries, e);
});

t.test('an entry costs the bytes that are stated for it', async (t) => {
  for (const stamped of [false, true]) {
    const entries = createEntries(1, stamped);
    const columns = Object.entries(entries).filter(
      ([name, value]) => ArrayBuffer.isView(value) && value.byteLength > 0 && name !== 'control',
    );
    const bytes = columns.reduce((sum, [, column]) => sum + (column as Uint8Array).BYTES_PER_ELEMENT, 0);
    t.equal(entryBytes(entries), bytes);
  }
});
