import t from 'tap';
import { Accounting } from '#src/soak/accounting.js';
import type { FaultRow } from '#src/soak/fault_watch.js';
import type { Trouble } from '#src/soak/ledger.js';

const SLOTS = 64;

function fault(o: Partial<FaultRow>): FaultRow {
  const rest = { armed: true, active: true, reached: 10, matched: 10, injected: 1 };
  return { id: 'f', site: 'pool.object', action: 'flip', class: 'must-detect', ...rest, ...o };
}

function trouble(o: Partial<Trouble>): Trouble {
  const where = { link: 0, slot: 5, count: 1, beganMs: 9990, endedMs: 10_000, sinceMs: 0, phase: 'faults' };
  return { is: 'request', kind: 'read', code: 'EIO', text: 'read was answered EIO', ...where, ...o };
}

interface Case {
  readonly faults?: FaultRow[];
  readonly events?: { id?: string; ms?: number; slot?: number; count?: number }[];
  readonly troubles?: Trouble[];
  readonly error?: Record<number, number>;
  readonly changed?: Record<number, number>;
  readonly right?: Record<number, number>;
  readonly counted?: Record<string, number>;
  readonly outages?: { id: string; fromMs: number; toMs: number }[];
}

function account(o: Case) {
  const times = (given: Record<number, number> = {}): Float64Array =>
    new Float64Array(SLOTS).map((_, slot) => given[slot] ?? 0);
  const events = (o.events ?? []).map((event) => ({ id: 'f', ms: 9000, slot: 5, count: 1, ...event }));
  const accounting = new Accounting({
    faults: o.faults ?? [fault({ injected: events.length })],
    events,
    forgotten: () => 0,
    troubles: o.troubles ?? [],
    seen: { errorMs: times(o.error), changedMs: times(o.changed), rightMs: times(o.right) },
    outages: o.outages ?? [],
    counted: (name) => o.counted?.[name] ?? 0,
  });
  return { accounting, ...accounting.close() };
}

t.test('an error at the slot of an injection is that injection, detected', (t) => {
  const { rows, unaccounted } = account({ events: [{}], troubles: [trouble({})], error: { 5: 10_000 } });
  t.match(rows, [{ detected: 1, tolerated: 0, unaccounted: 0 }]);
  t.equal(unaccounted, 0);
  t.end();
});

t.test('an error without a fault is unaccounted for', (t) => {
  for (const troubles of [
    [trouble({})],
    [trouble({ is: 'connection', slot: -1, count: 0, code: 'ETIMEDOUT' })],
    [trouble({ kind: 'flush', slot: -1, count: 0 })],
  ]) {
    const { unaccounted, unexplainedCount } = account({ troubles });
    t.same({ unaccounted, unexplainedCount }, { unaccounted: 1, unexplainedCount: 1 });
  }
  t.end();
});

t.test('an injection does not explain an error elsewhere, before it, of older content, or of another sort', (t) => {
  for (const other of [
    { slot: 6 },
    { endedMs: 5000, beganMs: 4990 },
    { sinceMs: 12_000, beganMs: 12_990, endedMs: 13_000 },
    { code: 'EINVAL' },
    { is: 'connection', slot: -1, count: 0 } as const,
  ]) {
    const { unexplainedCount } = account({ events: [{}], right: { 5: 20_000 }, troubles: [trouble(other)] });
    t.equal(unexplainedCount, 1, JSON.stringify(other));
  }
  t.end();
});

t.test('an error that a must-tolerate fault has caused is charged to it', (t) => {
  const faults = [fault({ class: 'must-tolerate', site: 'pool.allocate', action: 'fail' })];
  const { rows, unaccounted, unexplainedCount } = account({ faults, events: [{}], troubles: [trouble({})] });
  t.match(rows, [{ detected: 0, tolerated: 0, unaccounted: 1 }]);
  t.same({ unaccounted, unexplainedCount }, { unaccounted: 1, unexplainedCount: 0 });
  t.end();
});

t.test('a must-tolerate fault of which the client saw nothing is tolerated', (t) => {
  const faults = [fault({ class: 'must-tolerate', injected: 3 })];
  t.match(account({ faults, events: [{}, {}, {}] }).rows, [{ tolerated: 3, unaccounted: 0 }]);
  t.end();
});

t.test(
  'a must-detect fault is tolerated when its page was overwritten or right, and unaccounted when nobody looked',
  (t) => {
    t.match(account({ events: [{}], changed: { 5: 9500 } }).rows, [{ tolerated: 1, unaccounted: 0 }]);
    t.match(account({ events: [{}], right: { 5: 9500 } }).rows, [{ tolerated: 1, unaccounted: 0 }]);
    t.match(account({ events: [{}], right: { 5: 8500 }, changed: { 5: 8000 } }).rows, [
      { tolerated: 0, unaccounted: 1 },
    ]);
    t.match(
      account({ events: [{ count: 2 }], right: { 5: 9500 } }).rows,
      [{ unaccounted: 1 }],
      'each of its slots counts',
    );
    t.end();
  },
);

t.test("the server's own counter detects, once for each count", (t) => {
  const faults = [fault({ injected: 2 }), fault({ id: 'g', site: 'pool.entry', injected: 1 })];
  const events = [{}, {}, { id: 'g' }];
  const counted = { checksum_mismatch: 2 };
  const { rows, unaccounted } = account({ faults, events, counted });
  t.match(rows, [{ detected: 2 }, { detected: 0, unaccounted: 1 }]);
  t.equal(unaccounted, 1);
  t.end();
});

t.test('a FLUSH is refused for what it can not take out of the pool', (t) => {
  const refused = trouble({ kind: 'flush', slot: -1, count: 0 });
  const flip = account({ events: [{ ms: 1000 }], right: { 5: 9500 }, troubles: [refused] });
  t.match(flip, { unaccounted: 0, rows: [{ detected: 1 }] });
  const faults = [fault({ class: 'must-tolerate', site: 'pool.allocate', action: 'fail' })];
  t.match(account({ faults, events: [{}], troubles: [refused] }).rows, [{ unaccounted: 1 }]);
  t.end();
});

t.test('what may be lost is stated, and never unaccounted for by itself', (t) => {
  const faults = [fault({ class: 'may-lose', site: 'image.sync', action: 'lie' })];
  t.match(account({ faults, events: [{ slot: -1 }] }), { unaccounted: 0, rows: [{ tolerated: 1 }] });
  t.end();
});

t.test('a connection is lost by a fault of the wire at that time, and by a hang until it is cleared', (t) => {
  const lost = trouble({ is: 'connection', slot: -1, count: 0, kind: null, beganMs: 5000, endedMs: 10_000 });
  const wire = fault({ site: 'wire.reply', action: 'drop' });
  t.match(account({ faults: [wire], events: [{ slot: -1 }], troubles: [lost] }), {
    unaccounted: 0,
    rows: [{ detected: 1 }],
  });
  t.match(account({ faults: [wire], events: [{ slot: -1, ms: 1000 }], troubles: [lost] }), { unexplainedCount: 1 });
  const hang = fault({ site: 'image.read', action: 'hang' });
  t.match(account({ faults: [hang], events: [{ ms: 1000 }], troubles: [lost] }), { unexplainedCount: 0 });
  t.end();
});

t.test('while there is no server because of a fault, connections are lost and refused', (t) => {
  const faults = [fault({ site: 'process.kill', action: 'kill' })];
  const events = [{ slot: -1, ms: 1000 }];
  const refused = trouble({ is: 'connect', slot: -1, count: 0, kind: null });
  const outages = [{ id: 'f', fromMs: 1000, toMs: 11_000 }];
  t.match(account({ faults, events, troubles: [refused], outages }), { unaccounted: 0, rows: [{ detected: 1 }] });
  outages[0].toMs = 9000;
  t.match(account({ faults, events, troubles: [refused], outages }), { unexplainedCount: 1 });
  t.end();
});

t.test('an injection that no event tells of is neither tolerated nor detected', (t) => {
  const { rows } = account({ faults: [fault({ injected: 5 })], events: [{}], right: { 5: 9500 } });
  t.match(rows, [{ tolerated: 1, untold: 4 }]);
  t.end();
});

t.test('a slot that can not be read is explained by damage since it was changed', (t) => {
  const { accounting } = account({ events: [{}] });
  t.ok(accounting.explainsLoss(5, 8000));
  t.notOk(accounting.explainsLoss(6, 8000));
  t.notOk(accounting.explainsLoss(5, 20_000), 'it was changed after that');
  t.end();
});
