/**
 * Broken protocols under real traffic, with a thread stalled at a step: stale data is an EIO, a leak is counted by
 * `zswapd stats --check`, a deadlock ends the process with a report. Nothing wrong is ever read without an error.
 *
 * Once each in a plain run, ten times with ZSWAPD_LONG=1. Each goes on until it has happened, however long a loaded machine
 * takes for that; the timeout of the file is the one bound.
 */
import { execFile } from 'node:child_process';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { makePage } from '../support/pool.ts';
import { chooseSeed, Random } from '../support/random.ts';
import { Traffic, type TrafficOptions } from '../support/traffic.ts';
import { MAIN, type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const rounds = process.env.ZSWAPD_LONG === '1' ? 10 : 1;
const seed = chooseSeed();
t.comment(`ZSWAPD_SEED=${seed}`);
t.setTimeout(rounds * 300_000);
// Those that end in a deadlock mostly wait.
t.jobs = 2;

/** Far from full, so that stores are taken, and far above the threshold, so that the shrinker never rests. */
const SMALL_POOL = {
  unsafe: true,
  'pool.max': '4MiB',
  'pool.acceptThresholdPercent': 1,
  'shrinker.secondChance': false,
  // Its turns are short in spite of the delays: requests that need its thread wait for their end.
  'shrinker.batch': 1,
  'debug.oracle': true,
};

function start(t: Test, o: Record<string, unknown>): Promise<RunningServer> {
  const set = Object.entries({ ...SMALL_POOL, ...o }).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return startServer(t, { size: '16MiB', set });
}

function traffic(round: number, o: Partial<TrafficOptions> = {}): TrafficOptions {
  return { random: new Random(seed + round), hot: 128, reads: 40, trims: 0, ...o };
}

function check(s: RunningServer, ...extra: string[]): Promise<{ code: number; stdout: string }> {
  return new Promise((resolve) => {
    const args = [MAIN, 'stats', '--check', '--control', s.controlPath, ...extra];
    execFile(process.execPath, args, (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout });
    });
  });
}

/** Asks until the shrinker has come to rest. */
async function quiescent(s: RunningServer) {
  for (;;) {
    const answer = await fetchControl(s.controlPath, '/check');
    if (answer.quiescent === true) return answer;
  }
}

for (let round = 0; round < rounds; round++) {
  t.test(`refcount-2013 under overwrites: stale data is an EIO, ${round}`, async (t) => {
    const s = await start(t, { 'protocol.preset': 'v3.12', 'debug.delay': { W2: 5000 } });
    const client = await s.connect();
    const load = new Traffic(client, traffic(round));
    await load.run(Number.POSITIVE_INFINITY, () => load.refused >= 3);
    t.equal(load.lost, 0, 'stale pages were found, and the server goes on');
    t.equal(load.silent, 0, 'and none was read');
    const { checksum_mismatch: found } = (await s.stats()).pool;
    // A page that writeback finds wrong may be written again before anybody reads it.
    t.ok(found > 0, 'and they are counted');
    await client.disconnect();
    await s.kill9();
  });

  t.test(`refcount-2013 under trims: a leak is counted, ${round}`, async (t) => {
    const s = await start(t, { 'protocol.preset': 'v3.12', 'debug.delay': { W1: 200, W2: 5000 } });
    const client = await s.connect();
    const load = new Traffic(client, traffic(round, { reads: 10, trims: 40 }));
    let leaked = 0;
    while (leaked === 0) {
      await load.run(1, () => false);
      const { entries } = (await quiescent(s)) as { entries: { leaked: number } };
      leaked = entries.leaked;
    }
    t.equal(load.silent, 0);
    const human = await check(s);
    t.equal(human.code, 1);
    t.match(human.stdout, new RegExp(`${leaked} entries are alive and in no tree: leaked`));
    const json = await check(s, '--json');
    t.equal(json.code, 1);
    t.match(JSON.parse(json.stdout), { quiescent: true, ok: false, entries: { leaked } });
    await client.disconnect();
    await s.kill9();
  });

  t.test(`cas-2013: a store and a writeback that wait for each other end the process, ${round}`, async (t) => {
    const s = await start(t, { 'protocol.entry': 'cas-2013', 'debug.delay': { W5: 5000 } });
    const load = new Traffic(await s.connect(), traffic(round, { reads: 0 }));
    await load.run(Number.POSITIVE_INFINITY, () => false);
    const { code, stderr } = await s.ended;
    t.equal(code, 70);
    t.match(
      stderr,
      /thread \d+ \((shrinker|lane \d)\) waited 5000 ms: (tree lock|entry state) word \d+ .*; last step /,
    );
    t.equal(load.silent, 0);
  });

  t.test(`busy none: reclaim that waits for the pin of its own store ends the process, ${round}`, async (t) => {
    const s = await start(t, { 'protocol.busy': 'none', 'memcgs.swap0.zswap.max': '64KiB' });
    const client = await s.connect();
    const write = (slot: number) => client.write(slot * PAGE, Buffer.from(makePage('text', slot)));
    // The coldest page is overwritten when the memcg is at its limit: the victim of its reclaim is the slot it holds.
    for (let slot = 1; (await s.stats()).memcgs[0]['zswap.current'] < 65_536; slot++) await write(slot);
    await t.rejects(write(1), { code: 'ENOTCONN' });
    const { code, stderr } = await s.ended;
    t.equal(code, 70);
    t.match(
      stderr,
      /thread 2 \(shrinker\) waited 5000 ms: slot pin word \d+ stays \d+, held by thread 3 \(lane 0\); last step /,
    );
  });
}

t.test('the default under the same traffic: no error, and nothing leaks', async (t) => {
  const s = await start(t, { 'pool.acceptThresholdPercent': 25, 'debug.delay': { d: 300, f: 300 } });
  const client = await s.connect();
  const load = new Traffic(client, traffic(0, { hot: 2000, reads: 20, trims: 5 }));
  await load.run(2, () => false);
  t.equal(load.refused + load.silent + load.lost, 0);
  t.match(await quiescent(s), { ok: true, problems: [] });
  const human = await check(s);
  t.equal(human.code, 0, human.stdout);
  t.match(human.stdout, /^ok: nothing leaked/);
  t.ok((await s.stats()).pool.written_back_pages > 0);
  await client.disconnect();
  t.match(await s.stop(), { code: 0 });
});
