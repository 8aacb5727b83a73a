// The oracle of a server (debug.oracle) knows what was discarded: zeros are right there, and no mismatch.
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { startServer } from '../support/one_thread.ts';
import { makePage } from '../support/pool.ts';

const PAGE = 4096;

t.test('slots that swapoff discarded and WRITE_ZEROES provisions read as zeros', async (t) => {
  const server = await startServer(t, { set: ['debug.oracle=true'] });
  const client = await server.connect();
  await client.write(5 * PAGE, Buffer.from(makePage('text', 5)));
  for (const verb of ['/swapoff?export=swap0&force', '/swapon?export=swap0']) {
    await fetchControl(server.controlPath, verb, 'POST');
  }
  await client.writeZeroes(5 * PAGE, 2 * PAGE, { noHole: true });
  t.same(await client.read(5 * PAGE, 2 * PAGE), Buffer.alloc(2 * PAGE));
  t.equal((await server.stats()).pool.checksum_mismatch, 0);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
