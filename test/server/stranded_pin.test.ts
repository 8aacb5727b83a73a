/**
 * A protocol that forgets a pin (`strandPageOnAbort`): whoever waits for that slot waits for ever, and blocks no thread
 * by it. The server notices, names the slot, its holder and how long it waited, and stops with its marker kept: whether it
 * is a request that waits, the drain of a stop, or a swapoff.
 */
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { chooseSeed, Random } from '../support/random.ts';
import { Traffic } from '../support/traffic.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const seed = chooseSeed();
t.comment(`ZSWAPD_SEED=${seed}`);
// They mostly wait.
t.jobs = 3;

const LIMIT_SECONDS = 60;
const SETTINGS = {
  unsafe: true,
  // As in the kernels that had it, but for the busy protocol: with theirs the shrinker may wait for its own pin first.
  'protocol.entry': 'refcount-2013',
  'protocol.leakFix': true,
  'protocol.validate': true,
  'protocol.strandPageOnAbort': true,
  // The time in which an overwrite makes the writeback abort.
  'debug.delay': { W2: 5000 },
  'pool.max': '4MiB',
  'pool.acceptThresholdPercent': 1,
  'shrinker.secondChance': false,
  'shrinker.batch': 1,
};

function start(t: Test): Promise<RunningServer> {
  const set = Object.entries(SETTINGS).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return startServer(t, { size: '16MiB', set });
}

/** Overwrites a few slots until a writeback has aborted, and leaves without waiting for what waits. */
async function strand(s: RunningServer): Promise<void> {
  const client = await s.connect();
  const load = new Traffic(client, { random: new Random(seed), hot: 128, reads: 0, trims: 0 });
  const running = load.run(LIMIT_SECONDS, () => false);
  while ((await s.stats()).pool.writeback_invalidated === 0);
  client.destroy();
  await running;
}

async function stopped(t: Test, s: RunningServer, waiter: string): Promise<void> {
  const { code, stderr } = await s.ended;
  t.equal(code, 70);
  const line = `thread ${waiter} waited 5000 ms for a pin that thread 2 \\(shrinker\\) does not drop: slot \\d+ of export swap0`;
  t.match(stderr, new RegExp(line));
  t.ok(existsSync(`${s.image}.zswapd`), 'the marker stays');
}

t.test('requests that wait for it end the process', async (t) => {
  const s = await start(t);
  const load = new Traffic(await s.connect(), { random: new Random(seed), hot: 128, reads: 20, trims: 10 });
  await load.run(LIMIT_SECONDS, () => false);
  t.ok(load.lost > 0, 'the server has ended');
  t.equal(load.silent, 0);
  await stopped(t, s, '\\d \\(lane \\d\\)');
});

t.test('so does the drain of a stop', async (t) => {
  const s = await start(t);
  await strand(s);
  void s.stop();
  await stopped(t, s, '\\d \\((shrinker|lane \\d)\\)');
});

t.test('so does a swapoff', async (t) => {
  const s = await start(t);
  await strand(s);
  await t.rejects(fetchControl(s.controlPath, '/swapoff?export=swap0&force', 'POST'));
  await stopped(t, s, '\\d \\((main|lane \\d)\\)');
});
