// A memcg's limit under load: however many stores wait there at once, each is let in only against what left for it.
import t, { type Test } from 'tap';
import { testBit } from '#src/pool/bits.js';
import { NONE } from '#src/pool/entries.js';
import { ENOENT } from '#src/pool/slots.js';
import { get, treeOf } from '#src/pool/tree.js';
import { SHRINK } from '#src/protocols/protocol.js';
import { admit, settle } from '#src/zswap/admission.js';
import { EAGAIN } from '#src/zswap/reclaim.js';
import { checkLists, type Kind, MIB, makePage } from '../support/pool.ts';
import { ShrinkerBench, type Write } from '../support/shrinker_bench.ts';

const PAGE = 4096;
const LIMIT = MIB / 4;
const memcgs = [{ name: 'm', max: LIMIT, writeback: true }];

/** Two lanes, and a memcg that is charged up to its limit with pages of a kind. */
function atLimit(t: Test, kind: Kind, over = {}): ShrinkerBench {
  const b = new ShrinkerBench(t, { memcgs, buffers: 512, exports: [{ name: 'a', pages: 2048, memcg: 0 }], ...over });
  for (let slot = 1000; b.shared.lru.charged[1] < LIMIT; slot++) b.write(slot, makePage(kind, slot));
  return b;
}

const inPool = ({ z }: ShrinkerBench, slot: number): boolean => get(z.trees, treeOf(z.trees, 0, slot), slot) !== NONE;

for (const [before, now] of [
  ['text', 'text'],
  ['text', 'random'],
  ['random', 'text'],
] as const) {
  t.test(`200 stores of ${now} that wait at once leave the memcg of ${before} at its limit`, async (t) => {
    const b = atLimit(t, before);
    const bound = LIMIT + PAGE;
    let most = 0;
    const writes = Array.from({ length: 200 }, (_, i) => b.write(i, makePage(now, i), 0, i % 2));
    t.ok(writes.every(({ errno }) => errno === null));
    b.finish(writes, () => {
      most = Math.max(most, b.shared.lru.charged[1]);
    });
    t.ok(writes.every(({ errno }) => errno === 0));
    t.ok(most <= bound, `${most} bytes were charged, at most ${bound}`);
    t.ok(most > LIMIT / 2, 'and not much less than it may have');
    const stored = writes.filter(({ slot }) => inPool(b, slot)).length;
    t.ok(stored > 20, `${stored} of them were let in`);
    t.equal(b.shared.memcgs.reserved[1], 0);
    checkLists(b.shared);
  });
}

t.test('what was made for one store is not for another that comes meanwhile', async (t) => {
  // One page leaves: of the room that it leaves there is none for two.
  const b = atLimit(t, 'random', { batch: 1 });
  const waiting = b.write(1, makePage('random', 1), 0, 0);
  b.shrinker.look();
  t.equal(b.shared.lru.charged[1], LIMIT - PAGE, 'a page has left for it');
  const other = b.write(2, makePage('random', 2), 0, 1);
  t.equal(other.errno, null, 'the other one waits as well');
  for (const lane of b.lanes) lane.look();
  t.equal(waiting.errno, 0);
  t.ok(inPool(b, 1));
  t.equal(b.shared.lru.charged[1], LIMIT);
  b.finish([other]);
  t.equal(b.shared.lru.charged[1], LIMIT);
});

t.test('a store whose memcg has nothing to give is rejected, and holds no place any more', async (t) => {
  const b = atLimit(t, 'text');
  const buffers = b.takeBuffers(0);
  const write = b.write(1, makePage('text', 1));
  b.shrinker.look();
  b.lanes[0].look();
  t.equal(b.count('reject_memcg_limit'), 1);
  t.equal(b.shared.memcgs.reserved[1], 0);
  b.finish([write]);
  t.equal(write.errno, 0);
  t.notOk(inPool(b, 1));
  t.ok(Buffer.from(b.images[0].page(1)).equals(makePage('text', 1)), 'its page is on the image');
  for (const buffer of buffers) b.z.givePage(buffer);
  const next = b.write(2, makePage('text', 2));
  b.finish([next]);
  t.ok(inPool(b, 2), 'and the next one is let in again');
});

t.test('a stalled image that has taken what buffers it can get leaves some to a store of another export', async (t) => {
  const exports = [0, 1].map((x) => ({ name: `${x}`, pages: 2048, memcg: x }));
  const b = new ShrinkerBench(t, { exports, memcgs: [memcgs[0], memcgs[0]], buffers: 256 });
  for (const x of [0, 1]) for (let slot = 0; slot < 64; slot++) b.write(slot, makePage('random', slot), x);
  const stalled: Write[] = [];
  for (let slot = 100; b.count('reject_memcg_limit') === 0; slot++) {
    stalled.push(b.write(slot, makePage('random', slot), 0));
    b.look();
  }
  const write = b.write(100, makePage('random', 100), 1);
  b.look();
  t.equal(write.errno, 0);
  t.equal(b.count('reject_memcg_limit'), 1, 'it is let in');
  t.strictSame(b.images[1].underway, ['write 0+16', 'write 16+16'], 'against pages of its own');
  b.finish(stalled);
});

t.test('a memcg that may not write back has nothing to give', async (t) => {
  const b = atLimit(t, 'text', { memcgs: [{ ...memcgs[0], writeback: false }] });
  const write = b.write(1, makePage('text', 1));
  b.finish([write]);
  t.equal(write.errno, 0);
  t.equal(b.count('written_back_pages'), 0);
  t.equal(b.count('reject_memcg_limit'), 1);
  t.strictSame(b.images[0].underway, []);
});

t.test('the connection of a store that waits ends: its page is dropped, and its place is free', async (t) => {
  const b = atLimit(t, 'text');
  const write = b.write(1, makePage('text', 1));
  write.gone = true;
  b.finish([write]);
  t.not(write.errno, 0);
  t.notOk(inPool(b, 1));
  t.notOk(testBit(b.shared.users, 0, 1));
  t.equal(b.shared.memcgs.reserved[1], 0);
});

t.test('many waiting stores make no turn long: some are answered in this one, and all in the next ones', async (t) => {
  const b = atLimit(t, 'random', { batch: 1 });
  const writes = Array.from({ length: 100 }, (_, i) => b.write(i, makePage('random', i)));
  const left: number[] = [];
  for (let turn = 0; left.at(-1) !== 0 && turn < 100; turn++) {
    b.look();
    left.push(writes.filter(({ errno }) => errno === null).length);
    for (const image of b.images) image.endAll();
  }
  t.ok(left[0] > 80 && left[0] < 100, `${100 - left[0]} were answered in the first turn`);
  t.equal(left.at(-1), 0);
});

t.test('admit: pages that leave count by their bytes, and a batch that fails ends it', async (t) => {
  const b = atLimit(t, 'text', { lanes: 1 });
  const { z } = b;
  const shrink = (): boolean => z.protocols.entry.shrinkOne(z, 1, z.protocols.busy) === SHRINK.WRITTEN;
  b.shared.memcgs.reserved[1] = 1000;
  let batches = 0;
  t.equal(
    admit(z, 1, () => {
      batches++;
      shrink();
      return 0;
    }),
    0,
  );
  t.ok(batches > 1, `${batches} pages left for one of 4096 bytes`);
  t.equal(b.shared.memcgs.reserved[1], 1001);
  settle(z, 1);
  t.equal(
    admit(z, 1, () => EAGAIN),
    EAGAIN,
  );
  t.equal(
    admit(z, 1, () => (batches-- === 2 && shrink() ? 0 : ENOENT)),
    ENOENT,
    'the pages that left before do not let it in',
  );
  t.equal(b.shared.memcgs.reserved[1], 1000);
  b.shared.memcgs.reserved[1] = 0;
  t.ok(b.shared.lru.charged[1] < LIMIT);
  t.equal(
    admit(z, 1, () => {
      throw new Error('there is room');
    }),
    0,
  );
});
