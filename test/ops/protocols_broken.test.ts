// Broken protocols on a real server: with a thread stalled at a step, what goes wrong is reported by the server itself.
import t from 'tap';
import { fetchControl } from '#src/ops/stats.js';
import { makePage } from '../support/pool.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const settings = (o: Record<string, unknown>): string[] =>
  Object.entries({ unsafe: true, 'pool.max': '1MiB', ...o }).map(([key, value]) => {
    return `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });

/** The pool is full: the shrinker is at work. */
async function rejected(s: RunningServer): Promise<void> {
  while ((await s.stats()).pool.reject_pool_limit === 0) await new Promise((resolve) => setImmediate(resolve));
}

t.test('a broken choice is said at start, in one line', async (t) => {
  const s = await startServer(t, { set: settings({ 'protocol.preset': 'v6.8' }) });
  const lines = s
    .stderr()
    .split('\n')
    .filter((line) => line.includes('unsafe protocols'));
  t.equal(lines.length, 1);
  t.match(lines[0], /swapoff: swapoff frees a tree that a writeback still uses: use after free, exit 70/);
  await s.stop();
});

t.test('v6.8: swapoff between a and b is a use after free, and the process stops', async (t) => {
  const s = await startServer(t, {
    size: '32MiB',
    // One page per batch, so that the shrinker's turn, which image writes wait for, is short in spite of the delay.
    set: settings({
      'protocol.preset': 'v6.8',
      'shrinker.secondChance': false,
      'shrinker.batch': 1,
      // It goes on for long, past the last write that it has to answer.
      'pool.acceptThresholdPercent': 1,
      'debug.delay': { b: 60_000 },
    }),
  });
  const client = await s.connect();
  const writes: Promise<number>[] = [];
  // Far more than the pool takes: from the limit on the shrinker writes back, standing at b with every page.
  for (let slot = 1; slot < 2000; slot++) {
    const write = client.write(slot * PAGE, Buffer.from(makePage('text', slot)));
    writes.push(
      write.then(
        () => 0,
        () => 1,
      ),
    );
    if (slot % 64 === 0) await Promise.race([Promise.all(writes), rejected(s)]);
  }
  await rejected(s);
  await fetchControl(s.controlPath, '/swapoff?export=swap0&force', 'POST').catch(() => undefined);
  const { code, stderr } = await s.ended;
  t.equal(code, 70);
  t.match(stderr, /use after free: tree 0 was freed by swapoff/);
});
