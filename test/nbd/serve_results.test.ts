/**
 * What the methods of a ByteDevice return: bytes, counts, nothing, or what nobody asked for. Whatever is not all of the bytes
 * is an error, and never zeros, or a success.
 *
 * Seen to fail with a buffer that was given away looked at nowhere (the process ends) or only when the read returns, with
 * counts and odd values ignored, with plain bytes taken by way of a promise, and with bytes copied to a buffer that is gone.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { tempFolder } from '../support/tmp.ts';

const BYTES = 4096;
type Read = (into: Uint8Array) => unknown;

/** A client of a device whose `read` is chosen call by call, and what `onError` was told. */
async function reading(t: Test) {
  const told: unknown[] = [];
  const chosen: { read: Read } = { read: () => undefined };
  const device = ram({ size: 10_000, read: (_: number, into: Uint8Array) => chosen.read(into) });
  const { connect } = await running(t, device, { onError: (e) => told.push(e) });
  const client = await connect();
  /** The first byte that a client gets, or the code of its error. */
  const outcome = async (read: Read, offset = 0): Promise<unknown> => {
    chosen.read = read;
    try {
      return (await client.read(offset, 1))[0];
    } catch (error) {
      return (error as { code?: unknown }).code;
    }
  };
  /** Both as a plain return and by a promise. */
  const both = async (read: Read): Promise<unknown[]> => [
    await outcome(read),
    await outcome(async (into) => {
      await null;
      return read(into);
    }),
  ];
  return { told, outcome, both };
}

const sevens = (n = BYTES): Uint8Array<ArrayBuffer> => new Uint8Array(n).fill(7);

t.test('a read may fill its buffer and return nothing, or how much it was', async (t) => {
  const { told, both, outcome } = await reading(t);
  const results: unknown[] = [undefined, null, BYTES, { bytesRead: BYTES }];
  for (const result of results) {
    const read: Read = (into) => {
      into.fill(7);
      return result;
    };
    t.same(await both(read), [7, 7], String(result));
  }
  t.same(await both(() => undefined), [0, 0], 'nothing is zeros, because the buffer comes zeroed');
  t.same(await both((into) => into.fill(7)), [7, 7], 'the buffer itself');
  t.same(await both((into) => ({ bytesRead: BYTES, buffer: into.fill(7) })), [7, 7]);
  t.equal(await outcome((into) => (into.length === 1808 ? into.fill(7).length : 0), 9999), 7, 'cut at the end');
  t.same(told, []);
});

t.test('a read may return its bytes, in whatever holds bytes', async (t) => {
  const { told, both, outcome } = await reading(t);
  const shared = new Uint8Array(new SharedArrayBuffer(BYTES)).fill(7);
  const kinds: Record<string, () => unknown> = {
    Buffer: () => Buffer.alloc(BYTES, 7),
    Uint8Array: sevens,
    'a part of one': () =>
      sevens(3 * BYTES)
        .fill(1, 0, BYTES)
        .subarray(BYTES, 2 * BYTES),
    ArrayBuffer: () => sevens().buffer,
    SharedArrayBuffer: () => shared.buffer,
    'a view of one': () => shared,
    DataView: () => new DataView(sevens().buffer),
    Uint16Array: () => new Uint16Array(BYTES / 2).fill(0x0707),
    Uint8ClampedArray: () => new Uint8ClampedArray(BYTES).fill(7),
    Float64Array: () => new Float64Array(sevens().buffer),
  };
  for (const [kind, make] of Object.entries(kinds)) t.same(await both(make), [7, 7], kind);
  t.equal(await outcome(() => sevens(1808), 9999), 7, 'cut at the end');
  t.same(told, []);
});

t.test('plain bytes are taken when they are returned, also from one buffer that is used again and again', async (t) => {
  const scratch = Buffer.alloc(BYTES);
  const device = ram({ size: 64 * BYTES, read: (offset: number) => scratch.fill(offset / BYTES) });
  const { connect } = await running(t, device);
  const client = await connect();
  const reads = await Promise.all(Array.from({ length: 64 }, (_, block) => client.read(block * BYTES, 1)));
  t.same(
    reads.map(([first]) => first),
    Array.from({ length: 64 }, (_, block) => block),
  );
});

t.test('another number of bytes is an error that is told', async (t) => {
  const { told, both } = await reading(t);
  const short: Record<string, Read> = {
    'no bytes': () => Buffer.alloc(0),
    'fewer bytes': () => Buffer.alloc(BYTES - 1),
    'more bytes': () => new ArrayBuffer(2 * BYTES),
    'a part of its buffer': (into) => into.subarray(0, 10),
    'a count of none': () => 0,
    'a short count': () => BYTES - 1,
    'no number': () => Number.NaN,
    "a count as Node's": () => ({ bytesRead: 10 }),
  };
  for (const [kind, read] of Object.entries(short)) t.same(await both(read), ['EIO', 'EIO'], kind);
  t.equal(told.length, 2 * Object.keys(short).length);
  t.match(told[0], { name: 'TypeError', message: 'read has returned 0 bytes where it was asked for 4096' });
  t.match(told.at(-1), { name: 'Error', message: 'read has read 10 bytes where it was asked for 4096' });
});

t.test('what is neither bytes nor a count is an error that is told, and never zeros', async (t) => {
  const { told, both } = await reading(t);
  const odd: Record<string, Read> = {
    text: () => 'x'.repeat(BYTES),
    'a list': () => Array(BYTES).fill(7),
    'an object': () => ({}),
    'a count that is text': () => ({ bytesRead: '4096' }),
    'a count for another buffer': () => ({ bytesRead: BYTES, buffer: sevens() }),
    'counts for other buffers': () => ({ bytesRead: BYTES, buffers: [sevens()] }),
    Blob: () => new Blob([sevens()]),
    Response: () => new Response(sevens()),
    generator: async function* () {
      yield sevens();
    },
    function: () => sevens,
    false: () => false,
    bigint: () => BigInt(BYTES),
    symbol: () => Symbol('bytes'),
    'an error': () => new Error('returned, not thrown'),
    unreadable: () => ({
      get bytesRead() {
        throw new Error('not yours');
      },
    }),
  };
  for (const [kind, read] of Object.entries(odd)) t.same(await both(read), ['EIO', 'EIO'], kind);
  t.equal(told.length, 2 * Object.keys(odd).length);
  t.match(told[0], { name: 'TypeError', message: /read has returned 'x+'\.\.\. .*, and has to return/ });
});

t.test('a read that gives away the buffer that it was to fill', async (t) => {
  const { told, both, outcome } = await reading(t);
  const giveAway = (into: Uint8Array): unknown =>
    structuredClone(into.buffer, { transfer: [into.buffer as ArrayBuffer] });
  const gone: Read = (into) => void giveAway(into);
  t.same(await both(gone), ['EIO', 'EIO']);
  t.equal(await outcome((into) => queueMicrotask(() => giveAway(into))), 'EIO', 'after it has returned');
  t.equal(told.length, 3);
  for (const error of told) t.match(error, { name: 'TypeError', message: /given away the buffer/ });
  const back: Read = (into) => giveAway(into.fill(7));
  t.same(await both(back), [7, 7], 'it may come back as what is returned, as from another thread');
  t.equal(told.length, 3);
});

t.test("the counts of Node's files", async (t) => {
  const path = join(tempFolder(t), 'image');
  const file = await open(path, 'w+');
  t.teardown(() => file.close());
  await file.write(Buffer.alloc(BYTES, 7));
  const told: unknown[] = [];
  const device = ram({
    size: 2 * BYTES,
    read: (offset: number, into: Uint8Array) =>
      offset === 0 ? file.read(into, 0, into.length, offset) : file.readv([into], offset),
    write: (offset: number, from: Uint8Array) => file.write(from, 0, from.length, offset),
  });
  const { connect } = await running(t, device, { onError: (e) => told.push(e) });
  const client = await connect();
  t.equal((await client.read(0, 1))[0], 7);
  await t.rejects(client.read(BYTES, 1), { code: 'EIO' }, 'behind the end of the file');
  t.equal(told.length, 1);
  await client.write(BYTES, Buffer.alloc(BYTES, 8));
  t.equal((await client.read(BYTES, 1))[0], 8);
});

t.test('a write that has stored less than all is an error that is told', async (t) => {
  const told: unknown[] = [];
  let result: unknown;
  const { connect } = await running(t, ram({ write: () => result }), { onError: (e) => told.push(e) });
  const client = await connect();
  for (const all of [undefined, null, BYTES, { bytesWritten: BYTES }, {}, 'done', true]) {
    for (result of [all, Promise.resolve(all)]) await client.write(0, Buffer.alloc(BYTES));
  }
  t.same(told, []);
  for (const less of [0, 10, { bytesWritten: 10 }]) {
    for (result of [less, Promise.resolve(less)]) {
      await t.rejects(client.write(0, Buffer.alloc(BYTES)), { code: 'EIO' });
    }
  }
  t.equal(told.length, 6);
  t.match(told.at(-1), { name: 'Error', message: 'write has stored 10 bytes of 4096' });
});
