// A row of `./scripts/bench --scale` on a real server, without its loads: pages must be charged to their groups, or the run fails.
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { nameBatches, ownerBatches } from '#src/scripts/benchmark/scale/batches.js';
import { changeOwners } from '#src/scripts/benchmark/scale/owners.js';
import { type ScaleServer, startScaleServer } from '#src/scripts/benchmark/scale/server.js';
import { CLUSTER_BYTES, slotOf, type Variant } from '#src/scripts/benchmark/scale/variants.js';
import { chargeAll, checkCharges } from '#src/scripts/benchmark/scale/visit.js';
import { tempFolder } from '../support/tmp.ts';

const VARIANT: Variant = { groups: 6, depth: 4, exportBytes: 2 ** 42 };
const DATA = 2 * CLUSTER_BYTES;

async function start(t: Test): Promise<ScaleServer> {
  const root = resolve(import.meta.dirname, '../../..');
  const context = { root, folder: tempFolder(t), bytes: DATA };
  const server = await startScaleServer(context, { exportBytes: VARIANT.exportBytes, poolBytes: 8 * DATA });
  t.teardown(() => server.stop());
  return server;
}

/** Every page of both exports, each with something of its own that compresses. */
async function fill({ uris }: ScaleServer): Promise<void> {
  for (const uri of uris) {
    const { pathname, searchParams } = new URL(uri);
    const client = await NbdClient.connect({ socketPath: searchParams.get('socket')!, export: pathname.slice(1) });
    for (let page = 0; page < DATA / 4096; page++) {
      const bytes = Buffer.alloc(4096);
      randomBytes(64).copy(bytes);
      await client.write(slotOf(VARIANT, DATA, page) * 4096, bytes);
    }
    await client.disconnect();
  }
}

t.test('pages that are charged are found in their groups, and change owners', async (t) => {
  const server = await start(t);
  await chargeAll(server, VARIANT, DATA);
  await fill(server);
  await checkCharges(server, VARIANT, DATA);
  const { perSecond, bytesPerChange } = await changeOwners(server, VARIANT, DATA, 0.1);
  t.ok(perSecond > 0, 'pages have changed owners');
  t.ok(bytesPerChange >= 20 && bytesPerChange < 21, 'a record for each, and some headers');
  await t.rejects(checkCharges(server, VARIANT, DATA), /group0 has 341 pages, not 342/);
});

t.test('pages that nobody has charged fail the run', async (t) => {
  const server = await start(t);
  await fill(server);
  await t.rejects(checkCharges(server, VARIANT, DATA), /groups are 0,0, not 3,3/);
  for (const [x, agent] of server.agents.entries()) {
    for (const names of nameBatches(VARIANT, x)) await agent.name(names);
  }
  await t.rejects(checkCharges(server, VARIANT, DATA), /2048 pages are unattributed/);
});

t.test('pages that all went to one group fail the run', async (t) => {
  const server = await start(t);
  for (const [x, agent] of server.agents.entries()) {
    for (const names of nameBatches(VARIANT, x)) await agent.name(names);
    for (const records of ownerBatches(VARIANT, DATA, x, 0)) {
      records.cgroup.fill(records.cgroup[0]!);
      await agent.charge(records);
    }
  }
  await fill(server);
  await t.rejects(checkCharges(server, VARIANT, DATA), /group0 has 1024 pages, not 342/);
});

t.test('pages that were not written fail the run', async (t) => {
  const server = await start(t);
  await chargeAll(server, VARIANT, DATA);
  await t.rejects(checkCharges(server, VARIANT, DATA), /0 pages of 2048 are stored/);
});
