import t from 'tap';
import { driftOf } from '#src/soak/drift.js';
import type { Abilities } from '#src/soak/hand.js';
import { KINDS, Ledger } from '#src/soak/ledger.js';
import type { Sample } from '#src/soak/sampler.js';
import { check, checkDrift, checkFaults, checkKinds, checkPages, verdictOf } from '#src/soak/verdict.js';

const of = (...values: ('true' | 'false' | 'unknown' | 'neutral')[]) =>
  verdictOf(values.map((value) => check('a check', value, '')));

t.test('false before unknown before true; nothing that was tested is unknown', (t) => {
  t.equal(of('true', 'neutral', 'true'), 'PASS');
  t.equal(of('true', 'unknown', 'true'), 'UNKNOWN');
  t.equal(of('unknown', 'false', 'true'), 'FAIL');
  t.equal(of('neutral'), 'UNKNOWN');
  t.equal(of(), 'UNKNOWN');
  t.end();
});

t.test('wrong and lost pages are false, and a part that was not read back is unknown', (t) => {
  const wrong = (kind: 'stale' | 'lost'): Ledger => {
    const ledger = new Ledger(4);
    ledger.found({ kind, slot: 1, sector: 0, text: 'slot 1' });
    return ledger;
  };
  t.equal(verdictOf(checkPages(new Ledger(4), 0, 4, 4)), 'PASS');
  t.equal(verdictOf(checkPages(wrong('stale'), 0, 4, 4)), 'FAIL');
  t.equal(verdictOf(checkPages(wrong('lost'), 1, 4, 4)), 'FAIL');
  t.equal(verdictOf(checkPages(new Ledger(4), 0, 4, 3)), 'UNKNOWN');
  t.equal(verdictOf(checkPages(new Ledger(4), 0, 4, null)), 'UNKNOWN');
  t.end();
});

const ABILITIES: Abilities = {
  trim: true,
  writeZeroes: true,
  flush: true,
  cache: true,
  blockStatus: true,
  parts: true,
  cuts: true,
};

t.test('a kind of operation that never succeeded is unknown, unless the export does not offer it', (t) => {
  const ledger = new Ledger(4);
  ledger.cuts = 1;
  for (const kind of KINDS) if (kind !== 'flush') ledger.ok(kind, 1, performance.now());
  t.match(checkKinds(ledger, ABILITIES), { value: 'unknown', text: 'never: flush' });
  t.match(checkKinds(ledger, { ...ABILITIES, flush: false }), { value: 'true' });
  ledger.cuts = 0;
  t.match(checkKinds(ledger, { ...ABILITIES, flush: false }), { value: 'unknown', text: /a cut connection/ });
  t.end();
});

const FAULT = {
  ...({ id: 'f', site: 'pool.object', action: 'flip', class: 'must-detect', armed: true, active: false } as const),
  ...{ reached: 5, matched: 5, injected: 1, detected: 1, tolerated: 0, unaccounted: 0, untold: 0 },
};

t.test('a fault that was never reached is unknown, one that is unaccounted for is false', (t) => {
  const accounts = (row: object, unaccounted = 0) => {
    return { rows: [{ ...FAULT, ...row }], unexplained: [], unexplainedCount: 0, unaccounted };
  };
  t.equal(verdictOf(checkFaults(accounts({}), 1, 0)), 'PASS');
  t.equal(verdictOf(checkFaults(accounts({ injected: 0, matched: 0, reached: 0 }), 1, 0)), 'UNKNOWN');
  t.equal(verdictOf(checkFaults(accounts({}), 2, 0)), 'UNKNOWN', 'of two that were declared');
  t.equal(verdictOf(checkFaults(accounts({ unaccounted: 1 }, 1), 1, 0)), 'FAIL');
  t.equal(verdictOf(checkFaults(accounts({ untold: 1 }), 1, 0)), 'UNKNOWN');
  t.equal(verdictOf(checkFaults(accounts({}), 1, 3)), 'UNKNOWN');
  t.end();
});

function samples(seconds: number, rss: (t: number) => number): Sample[] {
  return Array.from({ length: seconds / 10 }, (_, i): Sample => {
    const server = { rss: rss(i * 10), fds: 20 + (i % 2), threads: 9, ticks: 0 };
    return {
      ...{ type: 'sample', t: i * 10, phase: 'faults', opsPerSecond: 1, bytesPerSecond: 1, latencies: {}, troubles: 0 },
      ...{ wrong: 0, unsureSlots: 0, server, stats: null, faults: [] },
      own: { rss: 1e8 + i * 1e6, fds: 20, heap: 1e7, gcMs: 0, loopDelayMs: 1 },
      others: i,
    };
  });
}

t.test('memory that grows is false in a run that is long enough, and not judged in a shorter one', (t) => {
  const leak = (at: number): number => 1e8 + at * 20_000 + (at % 70) * 1e4;
  const level = (at: number): number => 1e8 + (at % 70) * 1e4;
  const judged = (seconds: number, rss: (t: number) => number) => checkDrift(driftOf(samples(seconds, rss)), 600);
  t.equal(verdictOf(judged(3600, leak)), 'FAIL');
  t.equal(verdictOf(judged(3600, level)), 'PASS', 'and that of the soak itself is not judged');
  t.equal(verdictOf(judged(300, leak)), 'UNKNOWN', 'nothing is judged');
  t.match(
    judged(3600, level).find(({ name }) => name === 'drift: RSS of the server')?.text,
    /not distinguishable from zero/,
  );
  t.end();
});
