// Broken protocols on a real server: with a thread stalled at a step, what goes wrong is reported by the server itself.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { makePage } from '../support/pool.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const settings = (o: Record<string, unknown>): string[] =>
  Object.entries({ unsafe: true, 'pool.max': '1MiB', ...o }).map(([key, value]) => {
    return `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });

/** Writes far more than the pool takes: from the limit on the shrinker is at work. Ends when it is, or with the server. */
async function fill(s: RunningServer): Promise<void> {
  const client = await s.connect().catch(() => null);
  if (client === null) return;
  const before = await rejections(s);
  for (let slot = 1; slot < 2000; slot++) {
    const sent = client.write(slot * PAGE, Buffer.from(makePage('text', slot))).then(
      () => true,
      () => false,
    );
    if (slot % 64 === 0 && (!(await sent) || (await rejections(s)) > before)) break;
  }
  client.destroy();
}

/** Stores that the full pool has rejected; infinite once the server has ended. */
async function rejections(s: RunningServer): Promise<number> {
  return s.stats().then(
    (stats) => stats.pool.reject_pool_limit,
    () => Number.POSITIVE_INFINITY,
  );
}

/** Waits until the shrinker has taken a page off its list, which it does before b; or for the end of the server. */
async function standsAtB(s: RunningServer): Promise<void> {
  const isolated = async (): Promise<boolean> => {
    const stats = await s.stats().catch(() => null);
    return stats === null || stats.pool.stored_pages > stats.memcgs[0].lru_pages;
  };
  while (!(await isolated()));
}

/** False if the server ended over it. */
function post(s: RunningServer, route: string): Promise<boolean> {
  return fetchControl(s.controlPath, route, 'POST').then(
    () => true,
    () => false,
  );
}

t.setTimeout(300_000);

t.test('a broken choice is said at start, in one line', async (t) => {
  const s = await startServer(t, { set: settings({ 'protocol.preset': 'v6.8' }) });
  const lines = await s.logged('unsafe protocols');
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
      // It goes on for long, past the last write that it has to answer: the cursor of 6.8 would end its run after eight pages.
      'pool.acceptThresholdPercent': 1,
      'shrinker.cursor': 'fixed',
      'debug.delay': { b: 60_000 },
    }),
  });
  // The shrinker stands at b with every page, so nearly every swapoff meets it there; one that finds it between two pages
  // ends well, and is tried again, until the server is gone.
  let alive = true;
  while (alive) {
    await fill(s);
    await standsAtB(s);
    alive = await post(s, '/swapoff?export=swap0&force');
    alive = alive && (await post(s, '/swapon?export=swap0'));
  }
  const { code, stderr } = await s.ended;
  t.equal(code, 70);
  t.match(stderr, /use after free: tree 0 was freed by swapoff/);
});
