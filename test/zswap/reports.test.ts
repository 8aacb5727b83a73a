// Reports of agents in the shrinker's thread: their order, what they wait for, and what a turn may take.
import t from 'tap';
import { setClock } from '#src/os/clock.js';
import { testBit } from '#src/pool/bits.js';
import { ownerRow, setRow } from '#src/pool/owners.js';
import type { PoolSettings } from '#src/pool/shared.js';
import { RECORD, type ReportBatch, Reports } from '#src/zswap/reports.js';
import { LOAD_FAILED } from '#src/zswap/zswap.js';
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
  const punches: ((errno: number) => void)[] = [];
  const moves: number[] = [];
  const reports = new Reports(
    z,
    (_x, _slot, done) => punches.push(done),
    (m) => moves.push(m),
    () => undefined,
  );
  const row = (slot: number) => ownerRow(owners, 0, slot);
  return { z, reports, row, punches, moves };
}

function batch(records: readonly (readonly number[])[], over: Partial<ReportBatch> = {}): ReportBatch {
  const column = (i: number): number[] => records.map((record) => record[i]);
  return {
    ...{ x: 0, forget: false, error: 0 },
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

t.test(
  'a page that is dropped has its pin until the image has forgotten it, and is lost if that will not',
  async (t) => {
    const { z, reports, punches } = agent({ dead: 'drop' });
    clock = 100;
    for (const slot of [1, 2]) put(z, slot, makePage('text', slot));
    clock = 200;
    let done = false;
    reports.begin(batch([[RECORD.FREE, 1, 2, 0, 150]]), () => {
      done = true;
    });
    reports.turn();
    t.equal(punches.length, 2);
    t.notOk(z.slots.tryPin(0, 1) > 0, 'a WRITE waits');
    punches[0](0);
    t.notOk(testBit(z.shared.users, 0, 1), 'a hole');
    punches[1](5);
    t.equal(take(z, 2).result, LOAD_FAILED);
    reports.turn();
    t.ok(done);
    t.equal(put(z, 2, makePage('text', 2)), 0);
    t.same(take(z, 2).page, makePage('text', 2));
    checkLists(z.shared);
  },
);
