/**
 * The device against a flat model, over random operations and clean restarts, in each way that pages can take.
 *
 * A failure prints one line that repeats it. ZSWAPD_LONG=1 runs many more operations, ZSWAPD_SETUP one setup alone.
 */
import { readFileSync } from 'node:fs';
import type { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { chooseSeed, Random } from '../support/random.ts';
import { tempFolder } from '../support/tmp.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';
import { DeviceModel } from './device_model.ts';

interface Setup {
  readonly set: readonly string[];
  readonly mayRefuse?: boolean;
}

const SETUPS: Record<string, Setup> = {
  'pool that holds all': { set: ['pool.max=64MiB'] },
  'pool far smaller than the data': { set: ['pool.max=1MiB'] },
  'pool far smaller than the data, one lane, no second chance': {
    set: ['pool.max=1MiB', 'lanes=1', 'shrinker.secondChance=false', 'shrinker.runPages=1'],
  },
  'inline mode': { set: ['pool.max=1MiB', 'lanes=0'] },
  'memcg with a small limit': { set: ['pool.max=64MiB', 'memcgs.swap0.zswap.max=256KiB'] },
  'memcg that keeps nothing': { set: ['memcgs.swap0.zswap.max=0', 'image.direct=off'] },
  'incompressible pages stored, same-filled ones compressed': {
    set: ['pool.max=2MiB', 'pool.incompressible=store', 'pool.sameFilled=false'],
  },
  'no writeback, rejected pages raw': {
    set: ['pool.max=1MiB', 'memcgs.swap0.zswap.writeback=false', 'onRejectNoWriteback=raw', 'pool.rawMax=2MiB'],
    mayRefuse: true,
  },
  'no writeback, rejected pages refused': {
    set: ['pool.max=1MiB', 'memcgs.swap0.zswap.writeback=false', 'onRejectNoWriteback=fail'],
    mayRefuse: true,
  },
  'few buffers': { set: ['pool.max=1MiB', 'image.buffers=16', 'shrinker.runPages=4', 'shrinker.batch=4'] },
  strict: { set: ['pool.max=1MiB', 'durability=strict'] },
  'strict, inline': { set: ['pool.max=1MiB', 'durability=strict', 'lanes=0'] },
};

const BYTES = 8 << 20;
const LONG = process.env.ZSWAPD_LONG === '1';
const ALONE = process.env.ZSWAPD_SETUP;
const ROUNDS = LONG ? 20 : 3;
const OPERATIONS = LONG ? 1500 : 160;
/** A slow machine ends earlier in the same sequence of operations; a setup that runs alone goes to its end. */
const BUDGET_MS = ALONE !== undefined ? Number.POSITIVE_INFINITY : LONG ? 45_000 : 4000;
const seed = chooseSeed();

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
  try {
    for (let round = 0; round < ROUNDS && performance.now() < deadline; round++) {
      const server = await startServer(t, { folder, size: `${BYTES}`, set: ['pool.max=1MiB', ...setup.set] });
      const clients = await connectAll(server, random);
      await model.run(clients, OPERATIONS, deadline);
      await model.compare(clients[0]);
      const { pool } = await server.stats();
      t.equal(pool.lost_pages, 0, 'nothing is lost');
      await Promise.all(clients.map((client) => client.disconnect()));
      const { code, stderr } = await server.stop();
      t.equal(code, 0, `clean stop of round ${round}`, { stderr });
      if (!readFileSync(server.image).equals(model.bytes))
        throw new Error(`round ${round}: the image is not the model`);
    }
  } catch (error) {
    t.fail(error instanceof Error ? error.message : String(error), { cause: error });
    const command = `${LONG ? 'ZSWAPD_LONG=1 ' : ''}ZSWAPD_SEED=${seed} ZSWAPD_SETUP='${name}' node dist/test/conformance/device_model.test.js`;
    t.comment(`reproduce with: ${command}`);
  }
  t.comment(JSON.stringify(model.counts));
}

for (const [name, setup] of Object.entries(SETUPS)) {
  if (ALONE !== undefined && ALONE !== name) continue;
  t.test(name, { timeout: 600_000 }, (t) => check(t, name, setup));
}
