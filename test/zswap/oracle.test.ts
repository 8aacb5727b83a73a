// The oracle: every byte of a page counts, and what is not known is not judged.
import t from 'tap';
import { wideInt32 } from '#src/shm/columns.js';
import { Oracle } from '#src/zswap/oracle.js';
import { storeRaw } from '#src/zswap/store.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/zswap.js';
import { makePage, newZswap, pinned, put, take } from '../support/pool.ts';

const oracle = () => new Oracle([wideInt32(4), wideInt32(4)]);

t.test('a byte that differs anywhere is noticed, at any address', async (t) => {
  const o = oracle();
  const memory = new Uint8Array(3 * 4096);
  memory.set(makePage('random', 5), 4097);
  o.note(0, 1, memory, 4097);
  t.ok(o.agrees(0, 1, memory, 4097));
  t.ok(o.agrees(0, 1, makePage('random', 5), 0));
  for (const byte of [0, 1, 3, 4, 2047, 2048, 4091, 4092, 4095]) {
    memory[4097 + byte] ^= 0x80;
    t.notOk(o.agrees(0, 1, memory, 4097), `byte ${byte}`);
    memory[4097 + byte] ^= 0x80;
  }
  memory[4096] ^= 1;
  memory[4097 + 4096] ^= 1;
  t.ok(o.agrees(0, 1, memory, 4097), 'what stands beside the page is not looked at');
});

t.test('pages that are swapped, or whose words are, differ', async (t) => {
  const o = oracle();
  const page = makePage('random', 1);
  o.note(0, 1, page, 0);
  const words = new Uint32Array(page.slice().buffer);
  [words[0], words[1023]] = [words[1023], words[0]];
  t.notOk(o.agrees(0, 1, new Uint8Array(words.buffer), 0));
  t.notOk(o.agrees(0, 1, new Uint8Array(4096), 0));
});

t.test('nothing is known of a slot before its first page, of another one, and after it was forgotten', async (t) => {
  const o = oracle();
  const page = makePage('text', 1);
  t.ok(o.agrees(0, 1, page, 0));
  o.note(0, 1, makePage('text', 2), 0);
  t.notOk(o.agrees(0, 1, page, 0));
  t.ok(o.agrees(0, 2, page, 0));
  t.ok(o.agrees(1, 1, page, 0));
  o.forget(0, 1);
  t.ok(o.agrees(0, 1, page, 0));
});

t.test('a page whose sum would be 0 is known all the same', async (t) => {
  const o = oracle();
  const page = new Uint8Array(4096);
  const words = new Int32Array(page.buffer);
  // The sum of a page is (sum before its last word ^ last word) times an odd number, so one last word makes it 0.
  let sum = 0x811c9dc5 | 0;
  for (let i = 0; i < 1023; i++) sum = Math.imul(sum ^ words[i], 0x01000193);
  words[1023] = sum;
  o.note(0, 1, page, 0);
  t.ok(o.agrees(0, 1, page, 0));
  t.notOk(o.agrees(0, 1, makePage('text', 1), 0));
});

t.test('zswap asks it for what it loads, and forgets what is trimmed', async (t) => {
  const z = newZswap({ oracle: true });
  put(z, 1, makePage('text', 1));
  t.equal(take(z, 1).result, LOADED);
  z.oracle?.note(0, 1, makePage('text', 2), 0);
  t.equal(take(z, 1).result, LOAD_FAILED);
  z.invalidate(0, 1);
  t.equal(take(z, 1).result, ON_IMAGE);
  t.ok(z.agrees(0, 1, makePage('text', 3), 0), 'nothing is known of it any more');
  pinned(z, 0, 2, () => storeRaw(z, 0, 2, makePage('text', 4), 0));
  t.notOk(z.agrees(0, 2, makePage('text', 5), 0), 'pages stored raw are noted as well');
});

t.test('zswap asks it for a page that is on its way to the image', async (t) => {
  const z = newZswap({ oracle: true });
  z.onWrite = () => undefined;
  put(z, 1, makePage('text', 1));
  z.protocols.entry.shrinkOne(z, 1, z.protocols.busy);
  t.equal(take(z, 1).result, LOADED);
  z.oracle?.note(0, 1, makePage('text', 2), 0);
  t.equal(take(z, 1).result, LOAD_FAILED);
});
