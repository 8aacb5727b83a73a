// zbud one call at a time: which page an object goes to, what it refuses, and double frees.
import t from 'tap';
import { createBuddies, SHARED_BYTES_MAX } from '#src/pool/allocator/buddies.js';
import { dirtySize, totalSize } from '#src/pool/allocator/stock.js';
import { Zbud } from '#src/pool/allocator/zbud.js';
import { PAGE_SIZE } from '#src/pool/limits.js';

function pool(pages: number): Zbud {
  return new Zbud(createBuddies('zbud', pages * PAGE_SIZE, 64));
}

/** Allocates, and answers where in its page the object begins. */
function alloc(p: Zbud, handle: number, length: number): number | false {
  if (!p.alloc(handle, length)) return false;
  p.unmap(handle);
  return p.offset(handle) % PAGE_SIZE;
}

const pageOf = (p: Zbud, handle: number): number => Math.floor(p.offset(handle) / PAGE_SIZE);

t.test('the first object is at the left behind the header chunk, the last one ends with its page', async (t) => {
  const p = pool(1);
  t.equal(alloc(p, 1, 1000), 64);
  t.equal(alloc(p, 2, 1001), PAGE_SIZE - 1024);
  t.equal(alloc(p, 3, 1), false, 'a page takes no third one, whatever room it has');
  t.equal(totalSize(p.b), PAGE_SIZE);
});

t.test('an object goes to the fullest page that has room for it', async (t) => {
  const p = pool(3);
  alloc(p, 1, 1000);
  alloc(p, 2, 3500);
  alloc(p, 3, 3000);
  t.equal(pageOf(p, 3), pageOf(p, 1), 'that does not fit beside the second');
  p.free(3);
  alloc(p, 4, 200);
  t.equal(pageOf(p, 4), pageOf(p, 2));
});

t.test('what was freed on either side is taken again', async (t) => {
  const p = pool(1);
  alloc(p, 1, 1900);
  alloc(p, 2, 1900);
  p.free(1);
  t.equal(alloc(p, 3, 1500), 64);
  p.free(2);
  t.equal(alloc(p, 4, 1920), PAGE_SIZE - 1920);
});

t.test('a page goes back with its last object, its memory when that is asked for', async (t) => {
  const p = pool(2);
  alloc(p, 1, 100);
  alloc(p, 2, 100);
  p.free(2);
  t.equal(totalSize(p.b), PAGE_SIZE);
  p.free(1);
  t.equal(totalSize(p.b), 0);
  t.equal(dirtySize(p.b), PAGE_SIZE);
  const released: number[] = [];
  t.equal(
    p.trim(0, 9, (_segment, offset, bytes) => released.push(offset, bytes)),
    1,
  );
  t.same(released, [0, PAGE_SIZE]);
  t.equal(dirtySize(p.b), 0);
  t.equal(alloc(p, 1, 100), 64, 'and is taken again');
});

t.test('nothing changes where no page is left', async (t) => {
  const p = pool(1);
  alloc(p, 1, SHARED_BYTES_MAX);
  t.equal(alloc(p, 2, 65), false);
  t.throws(() => p.free(2), { message: /handle 2 does not own an object: double free/ });
  t.equal(totalSize(p.b), PAGE_SIZE);
  t.equal(alloc(p, 2, 64), PAGE_SIZE - 64, 'one chunk is all that is left');
});

t.test('a double free is refused, and the neighbour stays', async (t) => {
  const p = pool(1);
  alloc(p, 1, 100);
  alloc(p, 2, 100);
  p.free(1);
  t.throws(() => p.free(1), { message: /double free/ });
  t.equal(totalSize(p.b), PAGE_SIZE);
});

t.test('it takes all but the header and a chunk of a page, as in the kernel', async (t) => {
  t.equal(SHARED_BYTES_MAX, 3968);
  const p = pool(1);
  t.equal(p.lengthMax, 3968);
  t.equal(alloc(p, 1, 3968), 64);
  t.equal(p.offset(1) + 3968, PAGE_SIZE - 64);
});
