import t from 'tap';
import { Random } from '#src/soak/random.js';
import { theilSen } from '#src/soak/slope.js';

const noisy = (seed: number, slope: number, count = 400): { x: number; y: number }[] => {
  const random = new Random(seed, 1);
  return Array.from({ length: count }, (_, x) => ({ x, y: 1000 + slope * x + random.below(200) }));
};

t.test('the slope of a line is that of the line, and its interval has it inside', (t) => {
  for (const slope of [-3, 0, 2]) {
    const found = theilSen(noisy(3, slope))!;
    t.ok(Math.abs(found.slope - slope) < 0.2, `${found.slope} for ${slope}`);
    t.ok(found.low <= slope && slope <= found.high, `${found.low} to ${found.high}`);
  }
  t.end();
});

t.test('a few outliers do not move it', (t) => {
  const points = noisy(4, 0).map(({ x, y }) => ({ x, y: x > 360 ? y * 50 : y }));
  t.ok(Math.abs(theilSen(points)!.slope) < 0.5);
  t.end();
});

t.test('noise without a slope is rarely taken for one, and a growth is', (t) => {
  let grown = 0;
  let seen = 0;
  for (let seed = 1; seed <= 100; seed++) {
    if (theilSen(noisy(seed, 0))!.low > 0) grown++;
    if (theilSen(noisy(seed, 0.5))!.low > 0) seen++;
  }
  t.ok(grown <= 3, `${grown} of 100 without a slope`);
  t.ok(seen >= 97, `${seen} of 100 with one`);
  t.end();
});

t.test('too few points say nothing, and many are put together', (t) => {
  t.equal(theilSen(noisy(1, 1, 7)), null);
  t.equal(theilSen([]), null);
  t.match(theilSen(noisy(1, 1, 20_000)), { points: 20_000 });
  t.end();
});
