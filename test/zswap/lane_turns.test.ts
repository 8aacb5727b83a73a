// Requests that wait are looked at in bounded turns, so that thousands that wait for one image don't keep others from their
// turn; each is looked at once for each wake-up, and in the order in which they began to wait.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { ShrinkerBench } from '../support/shrinker_bench.ts';

const WAITING = 1000;

t.test('a wake-up looks at all that wait, a part in each turn', async (t) => {
  const [lane] = new ShrinkerBench(t).lanes;
  const looked: number[] = [];
  const park = (n: number): void => {
    lane.park({
      resume: () => {
        looked.push(n);
        park(n);
      },
    });
  };
  for (let n = 0; n < WAITING; n++) park(n);
  lane.look();
  t.ok(looked.length > 0 && looked.length <= 256, `${looked.length} in the first turn`);
  for (let i = 0; i < 10; i++) await nextTurn();
  t.strictSame(
    looked,
    Array.from({ length: WAITING }, (_, n) => n),
    'each once, and none again without a wake-up',
  );
});

t.test('a wake-up in between looks at all again', async (t) => {
  const [lane] = new ShrinkerBench(t).lanes;
  const looks = new Array<number>(WAITING).fill(0);
  const park = (n: number): void => {
    lane.park({
      resume: () => {
        looks[n]++;
        park(n);
      },
    });
  };
  for (let n = 0; n < WAITING; n++) park(n);
  lane.look();
  await nextTurn();
  const before = [...looks];
  lane.look();
  for (let i = 0; i < 10; i++) await nextTurn();
  t.ok(
    looks.every((count, n) => count === before[n] + 1),
    'once each, also those that had their turn',
  );
});
