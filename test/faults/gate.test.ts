// What a thread finds out at a site: filters, the time line, counts and the ring of events.

import t from 'tap';
import { Gate } from '#src/faults/gate.js';
import type { FaultRule } from '#src/faults/rules.js';
import { COUNT, countOf, createTable, EVENT_ROWS, eventsAfter, type FaultTable, note } from '#src/faults/table.js';
import { steadyMillis } from '#src/os/clock.js';

const RULE: FaultRule = {
  id: 'one',
  site: 'image.write',
  action: 'EIO',
  class: 'must-tolerate',
  match: { x: null, memcg: null, slots: null, connection: null, command: null, age: null },
  when: { probability: 100, interval: 1, times: -1, space: 0, nth: null },
  verbose: 1,
  at: 0,
  for: null,
  with: {},
};

function begin(rules: readonly Partial<FaultRule>[], ageMs = 0): { gate: Gate; table: FaultTable } {
  const table = createTable(steadyMillis() - ageMs);
  const faults = rules.map((rule, i) => ({ ...RULE, id: `${i}`, ...rule }));
  const gate = new Gate({ plan: { seed: 1, digest: '', faults }, table }, (_, slot, path) => path === 'a' && slot < 10);
  return { gate, table };
}

const counts = (table: FaultTable, fault = 0): number[] =>
  [COUNT.REACHED, COUNT.MATCHED, COUNT.INJECTED].map((what) => countOf(table, fault, what));

t.test('a site that no fault names is nothing', async (t) => {
  const { gate, table } = begin([{}]);
  t.equal(gate.reach('image.read', { x: 0, slot: 1 }).length, 0);
  t.ok(gate.names('image.'));
  t.notOk(gate.names('pool.'));
  t.strictSame(counts(table), [0, 0, 0]);
});

t.test('each filter is asked, and what does not match is reached and no more', async (t) => {
  const cases: [Partial<FaultRule['match']>, object, boolean][] = [
    [{ x: 1 }, { x: 0 }, false],
    [{ x: 1 }, { x: 1 }, true],
    [{ slots: [4, 7] }, { x: 0, slot: 8 }, false],
    [{ slots: [4, 7] }, { x: 0, slot: 1, count: 3 }, false],
    [{ slots: [4, 7] }, { x: 0, slot: 1, count: 4 }, true],
    [{ slots: [4, 7] }, { x: 0 }, false],
    [{ memcg: 'a' }, { x: 0, slot: 9 }, true],
    [{ memcg: 'a' }, { x: 0, slot: 10 }, false],
    [{ connection: 3 }, { connection: 2 }, false],
    [{ connection: 3 }, { connection: 3 }, true],
    [{ command: 'read' }, { command: 'write' }, false],
    [{ age: 1000 }, { age: 999 }, false],
    [{ age: 1000 }, { age: 1000 }, true],
    [{ age: 1000 }, {}, false],
  ];
  for (const [match, where, meets] of cases) {
    const { gate, table } = begin([{ match: { ...RULE.match, ...match } }]);
    t.equal(gate.reach('image.write', where).length, Number(meets), JSON.stringify([match, where]));
    t.strictSame(counts(table), [1, Number(meets), Number(meets)]);
  }
});

t.test('the time line says when a fault is on', async (t) => {
  for (const [at, lasts, on] of [
    [0, null, true],
    [60_000, null, false],
    [0, 1000, false],
    [1000, 600_000, true],
  ] as const) {
    const { gate, table } = begin([{ at, for: lasts }], 5000);
    t.equal(gate.reach('image.write', { x: 0, slot: 0 }).length, Number(on), `${at} ${lasts}`);
    t.equal(counts(table)[0], Number(on), 'what is off is not reached');
  }
});

t.test('times are shared by all threads, and other faults of the site go on', async (t) => {
  const { gate, table } = begin([{ when: { ...RULE.when, times: 2 } }, { action: 'latency' }]);
  const found = Array.from({ length: 4 }, () => gate.reach('image.write', { x: 0, slot: 0 }).map((one) => one.action));
  t.strictSame(found, [['EIO', 'latency'], ['EIO', 'latency'], ['latency'], ['latency']]);
  t.strictSame(counts(table), [4, 4, 2]);
});

t.test('a call that an action has nothing to do at does not reach it', async (t) => {
  const { gate, table } = begin([{}]);
  t.equal(gate.reach('image.write', { x: 0, slot: 0 }, () => false).length, 0);
  t.strictSame(counts(table), [0, 0, 0]);
});

t.test('events are told in order, each once, and what was overwritten is counted', async (t) => {
  const { gate, table } = begin([{}]);
  gate.reach('image.write', { x: 0, slot: 5, count: 3 });
  gate.reach('image.write', { x: 0, slot: 9 });
  const { events, lost } = eventsAfter(table, 0);
  t.match(events, [
    { n: 1, fault: 0, x: 0, slot: 5, count: 3, connection: -1 },
    { n: 2, fault: 0, x: 0, slot: 9, count: 1, connection: -1 },
  ]);
  t.equal(lost, 0);
  t.strictSame(
    eventsAfter(table, 1).events.map(({ n }) => n),
    [2],
  );
  for (let i = 0; i < EVENT_ROWS; i++) note(table, { fault: 0, ms: 0, x: -1, slot: -1, count: 0, connection: -1 });
  const later = eventsAfter(table, 1);
  t.equal(later.lost, 1);
  t.equal(later.events.length, EVENT_ROWS);
  t.equal(later.events.at(-1)?.n, EVENT_ROWS + 2);
});
