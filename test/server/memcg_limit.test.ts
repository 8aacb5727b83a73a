// zswap.max holds while several clients write with many requests under way: what is charged is looked at all the time.
import t from 'tap';
import { startServer } from '../support/zswapd.ts';
import { MIB, writeSlots, wrongSlots } from '../system/durability/images.ts';

const CLIENTS = 4;
const SLOTS = 1000;
/** What is let in last may begin one byte below the limit (src/zswap/admission.ts). */
const BESIDE = 4096;

t.test('4 clients write 4,000 pages at a limit of 1 MiB', async (t) => {
  const set = ['pool.max=256MiB', 'lanes=2', 'memcgs={"swap0":{"zswap.max":"1MiB"}}'];
  const server = await startServer(t, { size: '64MiB', set });
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
  let writing = true;
  const done = Promise.all(clients.map((client, i) => writeSlots(client, i * SLOTS, (i + 1) * SLOTS))).finally(() => {
    writing = false;
  });
  let most = 0;
  do {
    const [memcg] = (await server.stats()).memcgs;
    most = Math.max(most, memcg['zswap.current']);
  } while (writing);
  await done;
  t.ok(most <= MIB + BESIDE, `${most} bytes were charged, at most ${MIB + BESIDE} may be`);
  const { pool, memcgs } = await server.stats();
  t.ok(memcgs[0]['zswap.current'] > MIB / 2, 'the memcg uses what it may');
  t.ok(pool.written_back_pages > 0);
  const wrong = await Promise.all(clients.map((client, i) => wrongSlots(client, i * SLOTS, (i + 1) * SLOTS)));
  t.same(wrong.flat(), []);
});
