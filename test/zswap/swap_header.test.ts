// The swap signature of slot 0: seen where mkswap writes it, shown as it is, and gone with it.
import t from 'tap';
import { C } from '#src/zswap/counters.js';
import { noteHeader, readHeader } from '#src/zswap/swap_header.js';
import { makePage, newZswap, put } from '../support/pool.ts';

const UUID = '01234567-89ab-cdef-fedc-ba9876543210';

/** Slot 0 as mkswap writes it. */
function header(label: string | Uint8Array, lastPage = 262_143, badPages = 0): Buffer {
  const page = Buffer.alloc(4096);
  page.writeUInt32LE(1, 1024);
  page.writeUInt32LE(lastPage, 1028);
  page.writeUInt32LE(badPages, 1032);
  page.write(UUID.replaceAll('-', ''), 1036, 'hex');
  page.set(typeof label === 'string' ? Buffer.from(label, 'latin1') : label, 1052);
  page.write('SWAPSPACE2', 4086, 'latin1');
  return page;
}

t.test('what mkswap wrote is shown', async (t) => {
  const z = newZswap();
  t.equal(readHeader(z.shared, 0), null);
  put(z, 0, header('guest', 0xfffffffe, 3));
  t.strictSame(readHeader(z.shared, 0), {
    version: 1,
    last_page: 0xfffffffe,
    bad_pages: 3,
    uuid: UUID,
    label: 'guest',
  });
  t.equal(z.counters[C.swap_signatures], 1);
});

t.test('a label may take all its 16 bytes, ends at the first zero, and shows nothing unprintable', async (t) => {
  const { shared } = newZswap();
  for (const [label, shown] of [
    ['0123456789abcdef', '0123456789abcdef'],
    ['', ''],
    ['a\0b', 'a'],
    ['a\x1b[2J\xff~ ', 'a?[2J?~ '],
  ]) {
    const page = header(label);
    page.fill(0x41, 1068, 1100);
    noteHeader(shared, null, 0, page);
    t.equal(readHeader(shared, 0)?.label, shown);
  }
});

t.test('each letter of the signature counts, and a page without it takes the header away', async (t) => {
  const { shared } = newZswap();
  for (let at = 4086; at < 4096; at++) {
    noteHeader(shared, null, 0, header('x'));
    t.not(readHeader(shared, 0), null);
    const page = header('x');
    page[at] ^= 0x20;
    noteHeader(shared, null, 0, page);
    t.equal(readHeader(shared, 0), null, `byte ${at}`);
  }
});

t.test('only slot 0 has a header, each export its own, and a store that is tried again counts once', async (t) => {
  const exports = [0, 1].map((x) => ({ name: `${x}`, pages: 100, memcg: 0 }));
  const z = newZswap({ exports });
  put(z, 1, header('no'));
  t.equal(readHeader(z.shared, 0), null);
  put(z, 0, header('one'), 1);
  t.strictSame([readHeader(z.shared, 0), readHeader(z.shared, 1)?.label], [null, 'one']);
  put(z, 0, header('two'), 0, true);
  t.equal(readHeader(z.shared, 0), null, 'what was looked at is not looked at again');
  put(z, 0, header('two'), 0);
  t.strictSame([readHeader(z.shared, 0)?.label, readHeader(z.shared, 1)?.label], ['two', 'one']);
  t.equal(z.counters[C.swap_signatures], 2);
  put(z, 0, makePage('text', 1));
  t.equal(readHeader(z.shared, 0), null);
});
