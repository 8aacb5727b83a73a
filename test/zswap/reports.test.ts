// Reports of agents in the shrinker's thread: their order, what they wait for, and what a turn may take.
import t from 'tap';
import { setClock } from '#src/os/clock.js';
import { testBit } from '#src/pool/bits.js';
import { claim, claimsHeld, noClaim, release } from '#src/pool/claims.js';
import { enter, STATE } from '#src/pool/export_state.js';
import { ownerRow, setRow } from '#src/pool/owners.js';
import type { PoolSettings } from '#src/pool/shared.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { RECORD, type ReportBatch, Reports } from '#src/zswap/reports.js';
import { STORED, store } from '#src/zswap/store.js';
import { checkLists, makePage, newZswap, put, take } from '../support/pool.ts';

const PAGES = 300_000;
const [NOBODYS, A, B] = [2, 3, 4];

let clock = 0;
setClock(() => clock);

/** Of export 0; numbers 1 and 2 are of rows A and B. */
function agent(over: Partial<PoolSettings> = {}) {
  const z = newZswap({ exports: [{ name: 'a', pages: PAGES, memcg: 0, agent: true }], ...over });
  const { owners } = z.memcgs;
  for (const [row, name] of [
    [A, 'a'],
    [B, 'b'],
  ] as const) {
    z.memcgs.parent[row] = 1;
    z.memcgs.state[row] = 1;
    z.memcgs.names.set([1, name.charCodeAt(0)], row * 256);
    setRow(owners, 0, row - NOBODYS, row);
  }
  z.memcgs.control[0] = B + 1;
  const punches: { readonly first: number; readonly count: number; readonly done: (errno: number) => void }[] = [];
  const moves: number[] = [];
  const reports = new Reports(
    z,
    (_x, first, count, done) => punches.push({ first, count, done }),
    (m) => moves.push(m),
    () => undefined,
  );
  const row = (slot: number) => ownerRow(owners, 0, slot);
  return { z, reports, row, punches, moves };
}

function batch(records: readonly (readonly number[])[], over: Partial<ReportBatch> = {}): ReportBatch {
  const column = (i: number): number[] => records.map((record) => record[i]);
  return {
    ...{ x: 0, forget: false, error: 0, isAhead: false },
    kinds: Uint8Array.from(column(0)),
    slots: Uint32Array.from(column(1)),
    counts: Uint32Array.from(column(2)),
    numbers: Uint16Array.from(column(3)),
    times: Float64Array.from(column(4)),
    ...over,
  };
}

t.test('a slot in use is waited for, and what is behind it keeps its order', async (t) => {
  const { z, reports, row } = agent();
  const pin = z.slots.pin(0, 5);
  let done = false;
  const records = [
    [RECORD.CHARGE, 4, 1, 1, 0],
    [RECORD.CHARGE, 5, 1, 1, 0],
    [RECORD.CHARGE, 4, 1, 2, 1],
  ];
  reports.begin(batch(records), () => {
    done = true;
  });
  t.equal(reports.turn(), false, 'nothing can be done at once');
  t.strictSame([row(4), row(5), done, reports.waits], [A, NOBODYS, false, true]);
  z.slots.unpin(pin);
  reports.turn();
  t.strictSame([row(4), row(5), done, reports.waits], [B, A, true, false]);
});

t.test('a turn is bounded, and a resync forgets what there was before its records', async (t) => {
  const { reports, row } = agent();
  let results = 0;
  reports.begin(batch([[RECORD.CHARGE, 0, 3000, 1, 0]]), ({ applied }) => {
    results += applied;
  });
  let turns = 1;
  for (; reports.turn(); turns++);
  t.strictSame([turns, results, row(2999), row(3000)], [3, 3000, A, NOBODYS]);
  reports.begin(batch([[RECORD.CHARGE, PAGES - 1, 1, 2, 0]], { forget: true }), () => results++);
  while (reports.turn());
  t.strictSame([results, row(0), row(2999), row(PAGES - 1)], [3001, NOBODYS, NOBODYS, B]);
});

t.test('a time of the future counts as now', async (t) => {
  const { z, reports, moves } = agent();
  clock = 100;
  put(z, 1, makePage('text', 1));
  clock = 200;
  const seen = batch([
    [RECORD.FREE, 1, 1, 0, 1e15],
    [RECORD.SEEN, 1, 1, 1, 1e15],
  ]);
  reports.begin(seen, (result) => t.match(result, { moved: 1, dead: 1 }));
  reports.turn();
  clock = 300;
  put(z, 2, makePage('text', 2));
  const charge = batch([[RECORD.CHARGE, 2, 1, 2, 1e15]], { error: 50 });
  clock = 400;
  reports.begin(charge, (result) => t.match(result, { moved: 0, late: 0 }, 'not one that was stored before'));
  reports.turn();
  t.strictSame(moves, [A]);
  checkLists(z.shared);
});

/** Slots [first, first + count) with a page each, stored at 100; by now it is 200. */
function stored(z: ReturnType<typeof agent>['z'], first: number, count: number): void {
  clock = 100;
  for (let slot = first; slot < first + count; slot++) put(z, slot, makePage('text', slot));
  clock = 200;
}

const free = (slot: number, count: number, over: Partial<ReportBatch> = {}): ReportBatch =>
  batch([[RECORD.FREE, slot, count, 0, 150]], over);

t.test(
  'what is dropped is claimed until the image has forgotten it, by one punch, and is lost if that fails',
  async (t) => {
    const { z, reports, punches } = agent({ dead: 'drop' });
    stored(z, 1, 6);
    let result: object | null = null;
    // The slot in between is nobody's.
    z.invalidate(0, 3);
    reports.begin(free(1, 4), (done) => {
      result = done;
    });
    reports.turn();
    t.match(punches, [{ first: 1, count: 4 }]);
    t.notOk(z.slots.tryPin(0, 1) > 0, 'a WRITE waits');
    t.ok(
      z.slots.t.locked.every((holder) => holder === 0),
      'and not for a pin, which nobody may hold for so long',
    );
    t.notOk(testBit(z.shared.users, 0, 1));
    t.equal(result, null);
    punches[0].done(0);
    reports.turn();
    t.match(result, { applied: 4, dead: 3 });
    t.equal(claimsHeld(z.shared.claims), 0);
    t.equal(take(z, 1).result, ON_IMAGE, 'a hole');
    reports.begin(free(5, 1), () => undefined);
    reports.turn();
    punches[1].done(5);
    reports.turn();
    t.equal(take(z, 5).result, LOAD_FAILED);
    t.equal(put(z, 5, makePage('text', 7)), 0);
    t.same(take(z, 5).page, makePage('text', 7));
    t.same(take(z, 6).page, makePage('text', 6), 'its neighbour is as it was');
    checkLists(z.shared);
  },
);

t.test('between two pages that are dropped the image keeps what is in use', async (t) => {
  const { z, reports, punches } = agent({ dead: 'drop' });
  stored(z, 1, 5);
  put(z, 3, makePage('text', 33));
  let dead = 0;
  reports.begin(free(1, 5), (result) => {
    dead = result.dead;
  });
  reports.turn();
  t.match(punches, [
    { first: 1, count: 2 },
    { first: 4, count: 2 },
  ]);
  punches[1].done(0);
  t.notOk(z.slots.tryPin(0, 4) > 0, 'until both are done');
  punches[0].done(0);
  reports.turn();
  t.equal(dead, 4);
  t.same(take(z, 3).page, makePage('text', 33), 'what was stored after the slot had been freed');
});

t.test('a drop waits for the pins that were there, and for what is claimed', async (t) => {
  const { z, reports, punches } = agent({ dead: 'drop' });
  stored(z, 0, 4);
  const other = { claim: noClaim(), pin: z.slots.pin(0, 2) };
  t.ok(claim(z.shared.claims, 0, 0, 1, z.thread, other.claim));
  reports.begin(free(0, 4), () => undefined);
  t.equal(reports.turn(), false);
  release(z.shared.claims, other.claim, z.shared.boxes);
  t.equal(reports.turn(), false);
  const page = new Uint8Array(4096);
  t.equal(z.load(other.pin, 0, 2, page, 0), LOADED);
  t.same([page, punches], [makePage('text', 2), []], 'a READ that has its pin finds the page');
  t.equal(store(z, 0, 2, makePage('text', 22), 0, false), STORED);
  z.slots.unpin(other.pin);
  reports.turn();
  t.match(punches, [
    { first: 0, count: 2 },
    { first: 3, count: 1 },
  ]);
  for (const { done } of punches) done(0);
  t.same(take(z, 2).page, makePage('text', 22), 'a WRITE that had its pin before us is not dropped');
});

t.test('what dies while its export is swapped off is not dropped, but when it is freed again', async (t) => {
  const { z, reports, punches } = agent({ dead: 'drop' });
  stored(z, 0, 2);
  const pin = z.slots.pin(0, 1);
  const results: object[] = [];
  reports.begin(free(0, 2), (result) => results.push(result));
  t.equal(reports.turn(), false);
  enter(z.shared.states, 0, STATE.KEEPING);
  z.slots.unpin(pin);
  reports.turn();
  t.match(results, [{ applied: 2, dead: 2 }]);
  t.strictSame([claimsHeld(z.shared.claims), punches.length], [0, 0]);
  t.same(take(z, 1).page, makePage('text', 1));
  enter(z.shared.states, 0, STATE.SERVING);
  reports.begin(free(0, 2), () => undefined);
  reports.turn();
  t.match(punches, [{ first: 0, count: 2 }]);
});

t.test('a batch whose times are ahead of us kills nothing, and its slots are free all the same', async (t) => {
  for (const dead of ['drop', 'first'] as const) {
    const { z, reports, punches, row } = agent({ dead });
    stored(z, 0, 2);
    const records = [
      [RECORD.CHARGE, 0, 2, 1, 0],
      [RECORD.FREE, 0, 2, 0, 1e15],
    ];
    reports.begin(batch(records, { isAhead: true }), (result) => t.match(result, { applied: 4, dead: 0 }));
    while (reports.turn());
    t.strictSame([punches.length, row(0), z.shared.lru.dead[A]], [0, NOBODYS, 0]);
    t.same(take(z, 1).page, makePage('text', 1));
  }
});

t.test('a long run is dropped in slices, of which few are under way', async (t) => {
  const { z, reports, punches } = agent({ dead: 'drop' });
  stored(z, 0, 1200);
  let ended = false;
  reports.begin(free(0, 10_000), () => {
    ended = true;
  });
  while (reports.turn());
  t.match(punches, [
    { first: 0, count: 512 },
    { first: 512, count: 512 },
    { first: 1024, count: 176 },
  ]);
  t.notOk(ended);
  for (const { done } of punches) done(0);
  while (reports.turn());
  t.ok(ended);
  checkLists(z.shared);
});

t.test('an image that stalls with pages to drop holds up the agent of its own export alone', async (t) => {
  const exports = ['a', 'b'].map((name) => ({ name, pages: 4096, memcg: 0, agent: true }));
  const { z, reports, punches } = agent({ dead: 'drop', exports });
  stored(z, 0, 200);
  const ended: number[] = [];
  const each = Array.from({ length: 100 }, (_, i) => [RECORD.FREE, 2 * i, 1, 0, 150]);
  reports.begin(batch(each), () => ended.push(0));
  while (reports.turn());
  t.equal(punches.length, 4, 'so many claims at once');
  reports.begin(batch([[RECORD.CHARGE, 7, 100, 1, 150]], { x: 1 }), () => ended.push(1));
  while (reports.turn());
  t.strictSame(ended, [1], 'the other one is answered');
  for (let at = 0; at < punches.length; at++) {
    punches[at].done(0);
    while (reports.turn());
  }
  t.strictSame([punches.length, ended], [100, [1, 0]]);
  checkLists(z.shared);
});
