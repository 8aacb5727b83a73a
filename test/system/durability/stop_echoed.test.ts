// One stop may arrive as several signals at once: what is stored goes to the image all the same.
import t from 'tap';
import { startServer } from '../../support/zswapd.ts';
import { isMarked, writeSlots } from './images.ts';

for (const echo of [
  ['SIGHUP', 'SIGHUP'],
  ['SIGTERM', 'SIGTERM'],
  ['SIGINT', 'SIGTERM'],
] as const) {
  t.test(`${echo.join(' and ')} back to back`, async (t) => {
    const server = await startServer(t);
    const client = await server.connect();
    await writeSlots(client, 0, 1000);
    await client.disconnect();
    for (const signal of echo) server.child.kill(signal);
    const { code, stderr } = await server.ended;
    t.equal(code, 0, stderr);
    t.notOk(isMarked(server.image));
  });
}
