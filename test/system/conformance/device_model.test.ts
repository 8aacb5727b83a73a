/**
 * The device against a flat model, over random operations and clean restarts, in each way that pages can take.
 *
 * A failure prints one line that repeats it. ZSWAPD_LONG=1 runs many more operations, ZSWAPD_SETUP one setup alone.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { chooseSeed, pageOf, Random } from '../../support/random.ts';
import { tempFolder } from '../../support/tmp.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { DeviceModel } from './device_model.ts';

interface Setup {
  readonly set: readonly string[];
  readonly mayRefuse?: boolean;
  /** A plain run starts it again on what the first round left. */
  readonly again?: boolean;
  /** Counters of the pool that move where pages take the way that the setup is for: without them it would test nothing. */
  readonly takes: readonly string[];
}

const SETUPS: Record<string, Setup> = {
  'pool that holds all': { set: ['pool.max=64MiB'], takes: ['stored_pages', 'same_filled_pages', 'zswpin'] },
  'pool far smaller than the data': {
    set: ['pool.max=1MiB'],
    takes: ['written_back_pages', 'image_reads'],
    again: true,
  },
  'pool far smaller than the data, one lane, no second chance': {
    set: ['pool.max=1MiB', 'lanes=1', 'shrinker.secondChance=false', 'shrinker.runPages=1'],
    takes: ['written_back_pages', 'image_reads'],
  },
  'inline mode': { set: ['pool.max=1MiB', 'lanes=0'], takes: ['written_back_pages', 'image_reads'] },
  'memcg with a small limit': {
    set: ['pool.max=64MiB', 'memcgs.swap0.zswap.max=64KiB'],
    takes: ['written_back_pages'],
  },
  'memcg that keeps nothing': { set: ['memcgs.swap0.zswap.max=0', 'image.direct=off'], takes: ['reject_memcg_limit'] },
  'incompressible pages stored, same-filled ones compressed': {
    set: ['pool.max=2MiB', 'pool.incompressible=store', 'pool.sameFilled=false'],
    takes: ['stored_incompressible_pages'],
  },
  'no writeback, rejected pages raw': {
    set: ['pool.max=1MiB', 'memcgs.swap0.zswap.writeback=false', 'onRejectNoWriteback=raw', 'pool.rawMax=2MiB'],
    takes: ['stored_incompressible_pages'],
    mayRefuse: true,
    again: true,
  },
  'no writeback, rejected pages refused': {
    set: ['pool.max=1MiB', 'memcgs.swap0.zswap.writeback=false', 'onRejectNoWriteback=fail'],
    takes: ['reject_compress_poor'],
    mayRefuse: true,
  },
  'few buffers': {
    set: ['pool.max=1MiB', 'image.buffers=16', 'shrinker.runPages=4', 'shrinker.batch=4'],
    takes: ['written_back_pages'],
  },
  strict: { set: ['pool.max=1MiB', 'durability=strict'], takes: ['written_back_pages', 'flushes'], again: true },
  'a scrub that never rests': {
    set: ['pool.max=1MiB', 'pool.scrub=1GiB'],
    takes: ['written_back_pages', 'scrub_passes'],
  },
  'strict, inline': {
    set: ['pool.max=1MiB', 'durability=strict', 'lanes=0'],
    takes: ['written_back_pages', 'flushes'],
  },
};

const BYTES = 8 << 20;
const LONG = process.env.ZSWAPD_LONG === '1';
const ALONE = process.env.ZSWAPD_SETUP;
const ROUNDS = 20;
const OPERATIONS = LONG ? 1500 : 160;
/**
 * A slow machine ends earlier in the same sequence of operations, but not in the first round, which has to take the setup's
 * way; a setup that runs alone goes to its end.
 */
const BUDGET_MS = ALONE !== undefined ? Number.POSITIVE_INFINITY : LONG ? 45_000 : 4000;
const seed = chooseSeed();
// All setups together; a single one has ten minutes.
t.setTimeout(LONG ? 1_200_000 : 110_000);

/** One to three connections; one of them speaks simple replies. */
function connectAll(server: RunningServer, random: Random): Promise<NbdClient[]> {
  return Promise.all(
    Array.from({ length: 1 + random.below(3) }, (_, n) =>
      server.connect({ structured: n !== 1, baseAllocation: n !== 1 }),
    ),
  );
}

async function check(t: Test, name: string, setup: Setup): Promise<void> {
  const folder = tempFolder(t);
  // Each setup has a sequence of its own, also when it runs alone.
  const random = new Random(seed + Object.keys(SETUPS).indexOf(name));
  const strict = setup.set.includes('durability=strict');
  const model = new DeviceModel({ random, bytes: BYTES, strict, mayRefuse: setup.mayRefuse ?? false });
  const deadline = performance.now() + BUDGET_MS;
  const rounds = LONG ? ROUNDS : setup.again === true ? 2 : 1;
  const taken = new Map(setup.takes.map((counter) => [counter, 0]));
  try {
    const missing = (): boolean => [...taken.values()].includes(0);
    // A slow machine may end early, but not before the setup's way was taken.
    for (let round = 0; missing() ? round < ROUNDS : round < rounds && performance.now() < deadline; round++) {
      const server = await startServer(t, { folder, size: `${BYTES}`, set: ['pool.max=1MiB', ...setup.set] });
      const clients = await connectAll(server, random);
      await model.run(clients, OPERATIONS, missing() ? Number.POSITIVE_INFINITY : deadline);
      await model.compare(clients[0]);
      const { pool } = await server.stats();
      t.equal(pool.lost_pages, 0, 'nothing is lost');
      for (const [counter, count] of taken) taken.set(counter, count + pool[counter]);
      await Promise.all(clients.map((client) => client.disconnect()));
      const { code, stderr } = await server.stop();
      t.equal(code, 0, `clean stop of round ${round}`, { stderr });
      if (!readFileSync(server.image).equals(model.bytes))
        throw new Error(`round ${round}: the image is not the model`);
    }
    for (const [counter, count] of taken) t.ok(count > 0, `${counter} moved`);
    if (setup.set.includes('onRejectNoWriteback=fail')) t.ok(model.counts.refused > 0, 'pages were refused');
  } catch (error) {
    t.fail(error instanceof Error ? error.message : String(error), { cause: error });
    const command = `${LONG ? 'ZSWAPD_LONG=1 ' : ''}ZSWAPD_SEED=${seed} ZSWAPD_SETUP='${name}' node dist/test/system/conformance/device_model.test.js`;
    t.comment(`reproduce with: ${command}`);
  }
  t.comment(JSON.stringify(model.counts));
}

t.test('one byte of the image that is not the model’s is noticed', async (t) => {
  const folder = tempFolder(t);
  const random = new Random(seed);
  const model = new DeviceModel({ random, bytes: BYTES, strict: false, mayRefuse: false });
  const first = await startServer(t, { folder, size: `${BYTES}` });
  const writer = await first.connect();
  const at = random.below(BYTES / 4096) * 4096;
  model.bytes.set(pageOf(at / 4096, 1, 'noise'), at);
  await writer.write(at, model.bytes.subarray(at, at + 4096));
  await writer.disconnect();
  await first.stop();
  const image = readFileSync(first.image);
  const place = at + random.below(4096);
  image[place] ^= 0x10;
  writeFileSync(first.image, image);
  const second = await startServer(t, { folder, size: `${BYTES}` });
  const client = await second.connect();
  await t.rejects(model.compare(client), { message: new RegExp(`byte ${place} `) });
  model.bytes[place] ^= 0x10;
  await model.compare(client);
  await client.disconnect();
});

for (const [name, setup] of Object.entries(SETUPS)) {
  if (ALONE !== undefined && ALONE !== name) continue;
  t.test(name, { timeout: 600_000 }, (t) => check(t, name, setup));
}
