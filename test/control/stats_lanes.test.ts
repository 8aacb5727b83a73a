// Each lane's row of the stats is that lane's own, and the totals are their sum.
import t from 'tap';
import { startServer } from '../support/zswapd.ts';

const PAGE = 4096;

t.test('what one connection does is counted for its lane alone', async (t) => {
  const server = await startServer(t, { set: ['lanes=3'] });
  // A connection goes to the lane with the fewest: each of these to one of its own, in order.
  const [writer, reader, trimmer] = [await server.connect(), await server.connect(), await server.connect()];
  for (let slot = 0; slot < 5; slot++) await writer.write(slot * PAGE, Buffer.alloc(PAGE, 1));
  for (let i = 0; i < 3; i++) await reader.read(0, 2 * PAGE);
  for (let i = 0; i < 7; i++) await trimmer.trim(32 * 2 ** 20, PAGE);
  const { lanes, pool } = await server.stats();
  t.match(lanes, [
    { lane: 0, connections: 1, writes: 5, reads: 0, trims: 0, zswpout: 5, zswpin: 0 },
    { lane: 1, connections: 1, writes: 0, reads: 3, trims: 0, zswpout: 0, zswpin: 6 },
    { lane: 2, connections: 1, writes: 0, reads: 0, trims: 7, zswpout: 0, zswpin: 0 },
  ]);
  t.match(pool, { connections: 3, writes: 5, reads: 3, trims: 7, zswpout: 5, zswpin: 6, stored_pages: 5 });
  for (const client of [writer, reader, trimmer]) await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
