// The compressor of a thread: what counts as one repeated word, what comes back, and what is answered where zstd refuses.
import t from 'tap';
import { CLASSES, classOf, POOR_BYTES } from '#src/pool/allocator/size_classes.js';
import { COMPRESS_FAILED, Codec, fillPage } from '#src/pool/codec.js';
import { POOL } from '#src/pool/counters.js';
import { sum } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { REJECTED, STORED } from '#src/zswap/store.js';
import type { Zswap } from '#src/zswap/zswap.js';
import { held, makePage, newZswap, put } from '../support/pool.ts';

const WORDS = [0, 1, 0x80000000, 0xffffffff, 0x01020304, 0xfedcba98, 0x00ff0000];

t.test('a page of one word is told by that word, at any address', async (t) => {
  const codec = new Codec(1);
  for (const word of WORDS) {
    for (const at of [0, 1, 6]) {
      const page = new Uint8Array(4200).subarray(at, at + 4096);
      fillPage(page, word);
      t.equal(new DataView(page.buffer, page.byteOffset).getUint32(4092, true), word, 'little-endian to the end');
      t.ok(codec.isSameFilled(page));
      t.equal(codec.fillWord, word);
    }
  }
});

t.test('a page is filled to its end and no further', async (t) => {
  for (const word of [0, 7]) {
    const memory = new Uint8Array(4098).fill(0x55);
    fillPage(memory.subarray(1, 4097), word);
    t.strictSame([memory[0], memory[4097]], [0x55, 0x55]);
    t.ok(Buffer.from(memory.subarray(1, 4097)).equals(Buffer.from(makePage('same', word))));
  }
});

t.test('one word that differs is enough, whichever word of the page it is', async (t) => {
  const codec = new Codec(1);
  const page = makePage('same', 0x11111111);
  const words = new Uint32Array(page.buffer);
  for (let i = 0; i < words.length; i++) {
    // Bytes that the quick look does not compare, so that the words have to be.
    words[i] ^= 0x01000000;
    if (codec.isSameFilled(page)) t.fail(`word ${i}`);
    words[i] ^= 0x01000000;
  }
  t.ok(codec.isSameFilled(page));
});

t.test('the word of the last page that was one stays, when a page is not', async (t) => {
  const codec = new Codec(1);
  codec.isSameFilled(makePage('same', 9));
  codec.isSameFilled(makePage('text', 10));
  t.equal(codec.fillWord, 9);
});

for (const level of [-7, 1, 19]) {
  t.test(`at level ${level} an object is the page again`, async (t) => {
    const codec = new Codec(level);
    const out = new Uint8Array(4096);
    for (const kind of ['same', 'text', 'random'] as const) {
      const page = makePage(kind, 3);
      const bytes = codec.compress(page);
      t.ok(bytes > 0);
      t.equal(codec.object(bytes).length, bytes);
      t.ok(codec.decompress(out, codec.object(bytes).slice()));
      t.ok(Buffer.from(out).equals(page));
    }
  });
}

t.test('an object that is not exactly one page is refused', async (t) => {
  const codec = new Codec(1);
  const out = new Uint8Array(4096);
  for (const length of [0, 1, 4095]) {
    const bytes = codec.compress(makePage('text', 1).subarray(0, length));
    t.notOk(codec.decompress(out, codec.object(bytes)), `${length} bytes`);
  }
  const bytes = codec.compress(new Uint8Array(4097));
  t.notOk(codec.decompress(out, codec.object(bytes)), 'longer than a page');
  t.notOk(codec.decompress(out, new Uint8Array(0)));
  const whole = codec.compress(makePage('text', 1));
  t.notOk(codec.decompress(out, codec.object(whole - 1)), 'its last byte is missing');
});

t.test('a compressor that fails says so', async (t) => {
  const codec = new Codec(1);
  const page = makePage('random', 1);
  // No page is as long as this; what matters is that zstd refuses.
  t.equal(codec.compress(new Uint8Array(1 << 20).map((_, i) => page[i % 4096] ^ (i >>> 12))), COMPRESS_FAILED);
});

/** A pool whose compressor says each page has `bytes` bytes. */
function compressingTo(bytes: number, storeIncompressible: boolean): Zswap {
  const z = newZswap({ storeIncompressible });
  const { codec } = z as unknown as { codec: { compress: (page: Uint8Array) => number } };
  codec.compress = () => bytes;
  return z;
}

t.test('from 3840 bytes on a page is not worth compressing: it is stored raw, or rejected', async (t) => {
  t.equal(POOR_BYTES, 3840);
  for (const [bytes, raw] of [
    [POOR_BYTES - 1, false],
    [POOR_BYTES, true],
    [4096, true],
    [4110, true],
  ] as const) {
    const z = compressingTo(bytes, true);
    t.equal(put(z, 1, makePage('random', 1)), STORED);
    t.equal(held(z.shared).bytes, raw ? 4096 : bytes);
    t.equal(sum(z.shared.counters, POOL.stored_incompressible_pages), raw ? 1 : 0);
    const strict = compressingTo(bytes, false);
    t.equal(put(strict, 1, makePage('random', 1)), raw ? REJECTED : STORED);
    t.equal(sum(strict.shared.counters, C.reject_compress_poor), raw ? 1 : 0);
  }
  t.ok(CLASSES.objects[classOf(POOR_BYTES - 1)] > CLASSES.objects[classOf(4096)], 'the class below holds more');
});

t.test('a page that the compressor refused is rejected and counted as that', async (t) => {
  const z = compressingTo(COMPRESS_FAILED, true);
  t.equal(put(z, 1, makePage('random', 1)), REJECTED);
  t.equal(sum(z.shared.counters, C.reject_compress_fail), 1);
  t.equal(held(z.shared).entries, 0);
});
