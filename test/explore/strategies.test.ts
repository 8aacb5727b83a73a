// What a search leaves out, it may leave out: plain search, which leaves out nothing, comes to the same verdicts. And the
// random strategies find what there is.
import t from 'tap';
import { pct } from '#src/explore/schedule/pct.js';
import { randomWalk } from '#src/explore/schedule/random_walk.js';
import { enter, exploreCell, kindOf, withEngine } from './cells.ts';

const CELLS = [
  ['leak', 'refcount-2013+free-immediately+skip-eexist+erase'],
  ['stale-data', 'refcount-2013+free-immediately+skip-eexist+erase+leakFix'],
  ['load', 'cas-2013+free-immediately+none+erase'],
  ['fast-path', 'pin-validate+pin-first+skip-eexist+load-noreload'],
  ['swapoff', 'refcount-lru-isolate+drain+skip-eexist+erase'],
  ['slot-reuse', 'pin-validate+pin-first+skip-eexist+erase+slotReusableBeforeInvalidate'],
  // Clean, so plain search runs all of their 6000, 9000, 18,000 and 90,000 schedules.
  ...(process.env.ZSWAPD_LONG === '1'
    ? ([
        ['load', 'pin-validate+pin-first+skip-eexist+erase'],
        ['leak', 'pin-validate+pin-first+skip-eexist+erase'],
        ['stale-data', 'refcount-2013+free-immediately+skip-eexist+erase+leakFix+validate'],
        ['fast-path', 'pin-validate+pin-first+skip-eexist+load-reload'],
      ] as const)
    : []),
] as const;

t.test('plain search agrees', (t) =>
  withEngine(async (engine) => {
    for (const [scenario, combination] of CELLS) {
      const quick = await exploreCell(engine, scenario, combination, { first: true });
      const plain = await exploreCell(engine, scenario, combination, { first: true, all: true });
      t.equal(kindOf(quick.failure), kindOf(plain.failure), `${scenario} under ${combination}`);
      t.ok(quick.complete && plain.complete, 'both were complete');
    }
  }),
);

t.test('random and PCT find the leak, and the same one for the same seed', (t) =>
  withEngine(async (engine) => {
    const combination = 'refcount-2013+free-immediately+skip-eexist+erase';
    for (const strategy of [randomWalk, pct]) {
      const options = { first: true, schedulesMax: 20_000, seed: 7 };
      const once = await exploreCell(engine, 'leak', combination, options, strategy);
      const again = await exploreCell(engine, 'leak', combination, options, strategy);
      t.equal(kindOf(once.failure), 'leak', strategy.name);
      t.same(again, once, 'the same seed');
    }
  }),
);

t.test('PCT: an actor whose priority drops first may end above or below one whose priority drops later', (t) =>
  withEngine(async (engine) => {
    await enter(engine, 'stale-data', 'pin-validate+pin-first+skip-eexist+erase');
    const run = engine.run.bind(engine);
    const orders: string[] = [];
    engine.run = (options) => {
      const [a, b] = options.changes;
      if (a !== undefined && b !== undefined && a !== b) orders.push(a < b ? 'below' : 'above');
      return run(options);
    };
    pct(engine, { bound: 2, schedulesMax: 50, seed: 1, all: false, first: true });
    t.same([...new Set(orders)].sort(), ['above', 'below']);
  }),
);

t.test('PCT holds the image back too: stale data of two preemptions takes three changes of priority', (t) =>
  withEngine(async (engine) => {
    const combination = 'refcount-2013+free-immediately+none+erase+leakFix';
    const options = { first: true, bound: 3, schedulesMax: 20_000 };
    const { failure } = await exploreCell(engine, 'stale-data', combination, options, pct);
    t.equal(kindOf(failure), 'stale data');
  }),
);
