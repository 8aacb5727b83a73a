// Checksums: every byte of a page counts, and what is not known is not judged.
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { testBit } from '#src/pool/bits.js';
import { Codec, fillSum } from '#src/pool/codec.js';
import { get, treeOf } from '#src/pool/tree.js';
import { wideInt32 } from '#src/shm/columns.js';
import { Checksums } from '#src/zswap/checksums.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { storeRaw } from '#src/zswap/store.js';
import { makePage, newZswap, pinned, put, take } from '../support/pool.ts';
import { missing } from '../support/requires.ts';

function begin() {
  const codec = new Codec(1, true);
  return { codec, sums: new Checksums([wideInt32(4), wideInt32(4)], codec) };
}

t.test('a byte that differs anywhere is noticed, at any address', async (t) => {
  const { codec, sums } = begin();
  const memory = new Uint8Array(3 * 4096);
  memory.set(makePage('random', 5), 4097);
  sums.note(0, 1, codec.sumOf(makePage('random', 5)));
  t.ok(sums.agrees(0, 1, memory, 4097));
  t.ok(sums.agrees(0, 1, makePage('random', 5), 0));
  for (const byte of [0, 1, 3, 4, 2047, 2048, 4091, 4092, 4095]) {
    memory[4097 + byte] ^= 0x80;
    t.notOk(sums.agrees(0, 1, memory, 4097), `byte ${byte}`);
    memory[4097 + byte] ^= 0x80;
  }
  memory[4096] ^= 1;
  memory[4097 + 4096] ^= 1;
  t.ok(sums.agrees(0, 1, memory, 4097), 'what stands beside the page is not looked at');
});

t.test('it is what the zstd command has at the end of a frame', { skip: missing('zstd') }, async (t) => {
  const { codec } = begin();
  for (const page of [makePage('text', 1), makePage('random', 1)]) {
    const sum = codec.sumOf(page);
    const frame = execFileSync('zstd', ['--check', '--stdout', '--quiet'], { input: page });
    t.equal(sum, frame.readInt32LE(frame.length - 4));
    t.ok(codec.hasSum(page, 0, sum));
  }
});

t.test('a page of one word has one sum, however it is looked at', async (t) => {
  const { codec, sums } = begin();
  const words = [0, 1, 0xffffffff, 0x12345678];
  const pages = words.map((word) => new Uint8Array(new Uint32Array(1024).fill(word).buffer));
  for (const [slot, page] of pages.entries()) {
    for (const sum of [fillSum(words[slot]), codec.sumOf(page)]) {
      sums.note(0, slot, sum);
      t.ok(sums.agrees(0, slot, page, 0));
      for (const other of pages) if (other !== page) t.notOk(sums.agrees(0, slot, other, 0));
    }
    t.ok(codec.isSameFilled(page));
    t.equal(codec.sum, fillSum(words[slot]));
  }
});

t.test('a sum that somebody has verified is compared, and no page is looked at', async (t) => {
  const { sums } = begin();
  sums.note(0, 1, 77);
  t.ok(sums.agrees(0, 1, makePage('text', 1), 0, 77));
  t.notOk(sums.agrees(0, 1, makePage('text', 1), 0, 78));
});

t.test('nothing is known of a slot before its first page, of another one, and after it was forgotten', async (t) => {
  const { codec, sums } = begin();
  const page = makePage('text', 1);
  t.ok(sums.agrees(0, 1, page, 0));
  sums.note(0, 1, codec.sumOf(makePage('text', 2)));
  t.notOk(sums.agrees(0, 1, page, 0));
  t.ok(sums.agrees(0, 2, page, 0));
  t.ok(sums.agrees(1, 1, page, 0));
  sums.forget(0, 1);
  t.ok(sums.agrees(0, 1, page, 0));
});

t.test('zswap asks it for what it loads, and forgets what is trimmed', async (t) => {
  const z = newZswap({ checksums: true });
  put(z, 1, makePage('text', 1));
  t.equal(take(z, 1).result, LOADED);
  z.sums.note(0, 1, z.codec.sumOf(makePage('text', 2)));
  t.equal(take(z, 1).result, LOAD_FAILED);
  z.invalidate(0, 1);
  t.equal(take(z, 1).result, ON_IMAGE);
  t.ok(z.agrees(0, 1, makePage('text', 3), 0), 'nothing is known of it any more');
  pinned(z, 0, 2, () => storeRaw(z, 0, 2, makePage('text', 4), 0));
  t.notOk(z.agrees(0, 2, makePage('text', 5), 0), 'pages stored raw are noted as well');
});

t.test('zswap asks it for a page that is on its way to the image', async (t) => {
  const z = newZswap({ checksums: true });
  z.onWrite = () => undefined;
  put(z, 1, makePage('text', 1));
  z.protocols.entry.shrinkOne(z, 1, z.protocols.busy);
  t.equal(take(z, 1).result, LOADED);
  z.sums.note(0, 1, z.codec.sumOf(makePage('text', 2)));
  t.equal(take(z, 1).result, LOAD_FAILED);
});

t.test('what is flipped in an object, in a page stored raw or in a word is read by nobody', async (t) => {
  const z = newZswap({ checksums: true });
  const same = new Uint8Array(new Uint32Array(1024).fill(7).buffer);
  const pages = [makePage('text', 1), makePage('random', 1), same];
  for (const [slot, page] of pages.entries()) {
    put(z, slot, page);
    const e = get(z.trees, treeOf(z.trees, 0, slot), slot);
    const { length, fill } = z.entries;
    const at = z.objects.offset(e) + length[e] - 9;
    for (let i = 0; i < 2; i++) {
      t.equal(take(z, slot).result, i === 0 ? LOADED : LOAD_FAILED);
      if (length[e] === 0) fill[e] ^= 1;
      else z.objects.segment(e)[at] ^= 0x10;
    }
    // zstd has refused the object, and the other two were read, and are lost until they are written.
    t.equal(take(z, slot).result, slot === 0 ? LOADED : LOAD_FAILED);
    put(z, slot, page);
    t.equal(take(z, slot).result, LOADED);
  }
});

t.test('an object that belongs to another slot is read by nobody', async (t) => {
  const z = newZswap({ checksums: true });
  const bySize = new Map<number, number>();
  for (let slot = 0; ; slot++) {
    put(z, slot, makePage('text', slot));
    const e = get(z.trees, treeOf(z.trees, 0, slot), slot);
    const bytes = z.entries.length[e];
    const other = bySize.get(bytes);
    if (other !== undefined) {
      const at = z.objects.offset(other);
      const object = z.objects.segment(other).slice(at, at + bytes);
      z.objects.segment(e).set(object, z.objects.offset(e));
      t.equal(take(z, slot).result, LOAD_FAILED);
      t.equal(take(z, z.entries.slot[other]).result, LOADED);
      return;
    }
    bySize.set(bytes, e);
  }
});

t.test('what was flipped in a page stored raw goes to the image as lost', async (t) => {
  const z = newZswap({ checksums: true });
  const pages = [makePage('random', 1), makePage('random', 2)];
  for (const [slot, page] of pages.entries()) put(z, slot, page);
  const e = get(z.trees, treeOf(z.trees, 0, 0), 0);
  z.objects.segment(e)[z.objects.offset(e) + 2047] ^= 1;
  const written: number[] = [];
  z.onWrite = (_x, slot) => void written.push(slot);
  for (const m of [1, 1]) z.protocols.entry.shrinkOne(z, m, z.protocols.busy);
  t.same(written.sort(), [0, 1]);
  t.same([testBit(z.shared.lost, 0, 0), testBit(z.shared.lost, 0, 1)], [true, false]);
  t.equal(z.counters[C.checksum_mismatch], 1);
});
