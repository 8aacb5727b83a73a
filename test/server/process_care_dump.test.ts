// What a core dump of a server would have of its guests: their pages are in memory that it leaves out.
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { bytesWith, countIn, mappingsOf } from '../support/mappings.ts';
import { startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const PAGES = 256;
/** What a thread's compressor had last: zstd's contexts, and what a checksum is compared with; of the lane and of the shrinker. */
const IN_WORK = 8;

/** How often a secret that is in each of PAGES pages, written and read, is in memory that a core dump has, and that it has not. */
async function secrets(t: Test, dontDump: string): Promise<{ dumped: number; left: number }> {
  const set = ['lanes=1', 'pool.incompressible=store', 'pool.max=64MiB', `process.dontDump=${dontDump}`];
  const server = await startServer(t, { size: `${PAGES * PAGE}`, set });
  const client = await server.connect();
  const secret = randomBytes(64);
  for (let slot = 0; slot < PAGES; slot++) {
    await client.write(slot * PAGE, Buffer.concat([secret, randomBytes(PAGE - secret.length)]));
  }
  await client.read(0, PAGES * PAGE);
  const found = { dumped: 0, left: 0 };
  for (const mapping of mappingsOf(server.pid)) {
    const { flags } = mapping;
    // Of the kernel: vvar can't be read.
    if (!flags.includes('rd') || flags.includes('pf') || flags.includes('io')) continue;
    found[flags.includes('dd') ? 'left' : 'dumped'] += countIn(server.pid, mapping, secret);
  }
  if (dontDump === 'off') t.ok(bytesWith(mappingsOf(server.pid), 'dd') < 2 ** 20, 'nothing of ours is left out');
  t.equal((await server.stop()).code, 0);
  return found;
}

t.test('pages in the pool and in the buffers of connections are left out', async (t) => {
  const { dumped, left } = await secrets(t, 'required');
  t.ok(left >= PAGES, `${left} are in what is left out`);
  t.ok(dumped <= IN_WORK, `${dumped} are in what is dumped`);
});

t.test('with dontDump off they are in it', async (t) => {
  const { dumped } = await secrets(t, 'off');
  t.ok(dumped >= PAGES, `${dumped} are in what is dumped`);
});
