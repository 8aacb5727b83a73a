// Servers that reclaim by pages, as kernels to 6.4 did: what does not fit goes to the image, page by page, and reads as written.
import t, { type Test } from 'tap';
import { makePage } from '../support/pool.ts';
import { runCommand } from '../support/run_process.ts';
import { MAIN, type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const SLOTS = 1500;
t.setTimeout(240_000);

/** A page of which a third does not compress. */
function pageOf(slot: number, version: number): Buffer {
  const page = Buffer.alloc(PAGE, slot & 0xff);
  page.set(makePage('random', slot * 7 + version).subarray(0, 500 + (slot % 9) * 150));
  return page;
}

async function fillTwice(server: RunningServer): Promise<void> {
  const client = await server.connect();
  for (let slot = 1; slot <= SLOTS; slot++) await client.write(slot * PAGE, pageOf(slot, 1));
  for (let slot = 1; slot <= SLOTS; slot += 3) await client.write(slot * PAGE, pageOf(slot, 2));
  for (let slot = 2; slot <= SLOTS; slot += 3) await client.trim(slot * PAGE, PAGE);
  for (let slot = 1; slot <= SLOTS; slot++) {
    const wanted = slot % 3 === 1 ? pageOf(slot, 2) : slot % 3 === 2 ? Buffer.alloc(PAGE) : pageOf(slot, 1);
    if (!(await client.read(slot * PAGE, PAGE)).equals(wanted)) throw new Error(`slot ${slot} has other bytes`);
  }
  await client.disconnect();
}

async function checked(t: Test, server: RunningServer): Promise<void> {
  const answer = await runCommand(process.execPath, [MAIN, 'stats', '--check', '--control', server.controlPath]);
  t.equal(answer.code, 0, answer.stdout);
}

for (const allocator of ['zbud', 'z3fold']) {
  t.test(`a pool of ${allocator} that is full gives its oldest pages, whole ones`, async (t) => {
    const server = await startServer(t, {
      set: ['unsafe=true', 'protocol.preset=v6.4', `pool.allocator=${allocator}`, 'pool.max=1MiB', 'debug.oracle=true'],
    });
    await fillTwice(server);
    const { pool } = await server.stats();
    t.ok(pool.pool_limit_hit > 0 && pool.written_back_pages > 0, 'pages were written back');
    t.equal(pool.checksum_mismatch, 0);
    t.ok(pool.pool_total_size <= 2 ** 20);
    t.equal((await server.stop()).code, 0);
  });
}

t.test('before 5.7 each store in a full pool had a page reclaimed, and the pool stays full', async (t) => {
  const server = await startServer(t, {
    set: ['unsafe=true', 'protocol.preset=v3.13', 'protocol.busy=none', 'pool.max=1MiB', 'debug.oracle=true'],
  });
  const client = await server.connect();
  for (let slot = 1; slot <= SLOTS; slot++) await client.write(slot * PAGE, pageOf(slot, 1));
  for (let slot = 1; slot <= SLOTS; slot++) {
    if (!(await client.read(slot * PAGE, PAGE)).equals(pageOf(slot, 1)))
      throw new Error(`slot ${slot} has other bytes`);
  }
  await client.disconnect();
  const { pool } = await server.stats();
  t.equal(pool.reject_pool_limit, 0, 'none was rejected, because a page left for each');
  t.ok(pool.pool_limit_hit > 300);
  t.ok(pool.pool_total_size > 0.95 * 2 ** 20 && pool.pool_total_size <= 2 ** 20 + PAGE, 'and no threshold is met');
  await checked(t, server);
  t.equal((await server.stop()).code, 0);
});

t.test('nothing is left behind by reclaim, and the entries still count for their memcgs', async (t) => {
  const server = await startServer(t, { set: ['unsafe=true', 'protocol.preset=v6.4', 'pool.max=1MiB'] });
  await fillTwice(server);
  const { memcgs, pool } = await server.stats();
  t.equal(memcgs[0].lru_pages, pool.stored_pages);
  t.equal(memcgs[0]['zswap.current'], pool.compressed_bytes);
  await checked(t, server);
  t.equal((await server.stop()).code, 0);
});

t.test('at the limit of its memcg a store is rejected, and nothing is written back for it', async (t) => {
  const limit = 'memcgs={"swap0":{"zswap.max":"64KiB"}}';
  const server = await startServer(t, { set: ['unsafe=true', 'protocol.preset=v6.4', limit] });
  const client = await server.connect();
  for (let slot = 1; slot <= 200; slot++) await client.write(slot * PAGE, pageOf(slot, 1));
  const { pool } = await server.stats();
  t.equal(pool.written_back_pages, 0);
  t.ok(pool.reject_memcg_limit > 0 && pool.stored_pages + pool.reject_memcg_limit === 200);
  await client.disconnect();
});
