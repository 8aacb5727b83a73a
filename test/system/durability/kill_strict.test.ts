/**
 * A killed strict server loses nothing that was flushed. A random workload runs against a model; SIGKILL comes at any
 * time; after the restart each slot has to read as it was at its last FLUSH or FUA, or as something written since.
 *
 * Five rounds on one image in a plain run, 200 with ZSWAPD_LONG=1. Where the machine loses its power: power_loss.test.ts.
 */
import t, { type Test } from 'tap';
import { chooseSeed, Random } from '../../support/random.ts';
import { DeviceHistory } from '../../support/slot_history.ts';
import { Workload } from '../../support/workload.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { MIB, PAGE } from './images.ts';

const SIZE = 4 * MIB;
const CLIENTS = 2;
const DEPTH = 8;

const settings = [
  ['pool.max=64MiB'],
  ['pool.max=1MiB'],
  ['pool.max=1MiB', 'lanes=0'],
  ['pool.max=1MiB', 'image.direct=off'],
  ['pool.max=64MiB', 'pool.incompressible=store', 'lanes=1'],
];

async function start(t: Test, folder: string | undefined, round: number): Promise<RunningServer> {
  const set = ['durability=strict', ...settings[round % settings.length]];
  return startServer(t, { size: '4MiB', set, ...(folder === undefined ? {} : { folder }) });
}

/** What each slot reads as has to be allowed; from then on it is what is durable. */
async function check(t: Test, server: RunningServer, history: DeviceHistory): Promise<void> {
  const client = await server.connect();
  const pages: Buffer[] = [];
  const wrong: number[] = [];
  for (const [i, slot] of history.slots.entries()) {
    const page = await client.read(i * PAGE, PAGE);
    if (!slot.survived(page)) wrong.push(i);
    pages.push(page);
  }
  t.same(wrong, [], 'slots that lost what was flushed');
  history.reset(Buffer.concat(pages));
  await client.disconnect();
}

const seed = chooseSeed();
const rounds = process.env.ZSWAPD_LONG === '1' ? 200 : 5;
t.setTimeout(rounds * 20_000);
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);
const history = new DeviceHistory(Buffer.alloc(SIZE), () => performance.now());
let folder: string | undefined;

t.test(`what was flushed outlives a kill, ${rounds} rounds`, async (t) => {
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed + round);
    const server = await start(t, folder, round);
    folder = server.folder;
    if (round > 0) {
      await check(t, server, history);
      t.not((await server.logged('later writes may be gone')).length, 0);
    }
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
    const limit = 200 + random.below(800);
    const workload = new Workload({ random, history, limit, onLimit: () => void server.child.kill('SIGKILL') });
    await workload.run(clients, DEPTH);
    await server.ended;
    t.comment(`round ${round}: killed after ${workload.operations} operations, ${workload.flushes} flushes`);
  }
  const last = await start(t, folder, rounds);
  await check(t, last, history);
  t.equal((await last.stop()).code, 0);
});
