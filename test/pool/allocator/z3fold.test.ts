// z3fold one call at a time: three objects to a page, gaps that are closed, objects that have a page to themselves.
import t from 'tap';
import { createBuddies, SHARED_BYTES_MAX } from '#src/pool/allocator/buddies.js';
import { totalSize } from '#src/pool/allocator/stock.js';
import { Z3fold } from '#src/pool/allocator/z3fold.js';
import { PAGE_SIZE } from '#src/pool/limits.js';
import { passing } from '../../support/facade.ts';

const CHUNK = 64;

function pool(pages: number): Z3fold {
  return new Z3fold(createBuddies('z3fold', pages * PAGE_SIZE, 64));
}

/** Allocates so many chunks, filled with the handle, and answers the chunk where the object begins. */
function alloc(p: Z3fold, handle: number, chunks: number): number | false {
  const length = chunks * CHUNK;
  if (!p.alloc(handle, length)) return false;
  p.segment(handle).fill(handle, p.offset(handle), p.offset(handle) + length);
  p.unmap(handle);
  return chunkOf(p, handle);
}

const chunkOf = (p: Z3fold, handle: number): number => (p.offset(handle) % PAGE_SIZE) / CHUNK;

const keeps = (p: Z3fold, handle: number, chunks: number): boolean =>
  p
    .segment(handle)
    .subarray(p.offset(handle), p.offset(handle) + chunks * CHUNK)
    .every((byte) => byte === handle);

t.test('a page takes a first, a last and a middle object', async (t) => {
  const p = pool(2);
  t.equal(alloc(p, 1, 20), 1);
  t.equal(alloc(p, 2, 20), 44);
  t.equal(alloc(p, 3, 20), 21);
  t.equal(totalSize(p.b), PAGE_SIZE);
  t.equal(alloc(p, 4, 1), 1);
  t.equal(totalSize(p.b), 2 * PAGE_SIZE, 'a fourth one has another page, whatever room there is');
});

t.test('a middle object that is left alone becomes the first one, and makes room for two others', async (t) => {
  const p = pool(1);
  alloc(p, 1, 20);
  alloc(p, 2, 20);
  alloc(p, 3, 20);
  p.free(2);
  p.free(1);
  t.equal(chunkOf(p, 3), 1);
  t.ok(keeps(p, 3, 20));
  t.equal(alloc(p, 4, 42), 22, 'to the right of it');
  p.free(3);
  t.equal(alloc(p, 5, 20), 1);
});

t.test('a middle object is moved to its neighbour when the gap is worth it', async (t) => {
  const p = pool(1);
  alloc(p, 1, 20);
  alloc(p, 2, 20);
  alloc(p, 3, 20);
  p.free(1);
  t.equal(chunkOf(p, 3), 24, 'up to the last one');
  t.ok(keeps(p, 3, 20));
  t.equal(alloc(p, 4, 23), 1, 'and what was free on both sides is in one piece');
});

t.test('a gap of less than three chunks stays', async (t) => {
  const p = pool(1);
  alloc(p, 1, 20);
  alloc(p, 2, 20);
  alloc(p, 3, 21);
  p.free(1);
  t.equal(chunkOf(p, 3), 21);
});

t.test('what somebody looks at is not moved, and is by the next one who frees there', async (t) => {
  const p = pool(1);
  alloc(p, 1, 20);
  alloc(p, 2, 20);
  alloc(p, 3, 20);
  p.map(3);
  p.free(1);
  t.equal(chunkOf(p, 3), 21);
  p.unmap(3);
  alloc(p, 4, 10);
  p.free(4);
  t.equal(chunkOf(p, 3), 24);
  t.ok(keeps(p, 3, 20));
});

t.test('an object that can share no page has one to itself, without the header', async (t) => {
  const p = pool(2);
  t.equal(p.lengthMax, PAGE_SIZE);
  t.ok(p.alloc(1, SHARED_BYTES_MAX + 1));
  p.unmap(1);
  t.equal(p.offset(1), 0);
  t.ok(p.alloc(2, PAGE_SIZE));
  p.unmap(2);
  t.equal(p.offset(2), PAGE_SIZE);
  t.equal(alloc(p, 3, 1), false);
  p.free(1);
  p.free(2);
  t.equal(totalSize(p.b), 0);
});

t.test('a page that another thread has locked is passed by, and nobody waits for it', async (t) => {
  const p = pool(2);
  alloc(p, 1, 20);
  p.b.pageLock[0] = 99;
  t.equal(alloc(p, 2, 20), 1);
  t.equal(Math.floor(p.offset(2) / PAGE_SIZE), 1, 'in a page of its own');
  p.b.pageLock[0] = 0;
  alloc(p, 3, 43);
  t.equal(Math.floor(p.offset(3) / PAGE_SIZE) < 2, true);
});

t.test('a double free is refused, also one that another thread is faster with', async (t) => {
  const p = pool(1);
  alloc(p, 1, 20);
  alloc(p, 2, 20);
  p.free(1);
  t.throws(() => p.free(1), { message: /handle 1 does not own an object: double free/ });
  let done = false;
  t.throws(
    () =>
      passing(
        () => p.free(2),
        ({ op }) => {
          if (op !== 'lock' || done) return;
          done = true;
          p.free(2);
        },
      ),
    { message: /double free/ },
  );
  t.equal(totalSize(p.b), 0);
});
