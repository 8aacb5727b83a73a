// Who is above a supervised server: its supervisor, whose death ends it, and a service manager, which hears of one service.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { notifications } from '../support/notifications.ts';
import { pageOf } from '../support/random.ts';
import { missing } from '../support/requires.ts';
import { DURABLE, startSupervised } from '../support/supervised.ts';
import { tempFolder } from '../support/tmp.ts';
import { until } from '../support/until.ts';

t.test('the death of the supervisor is a clean stop of the server', async (t) => {
  const server = await startSupervised(t);
  const client = await server.connect();
  await client.write(0, pageOf(1, 1));
  await client.disconnect();
  const pid = server.server()!;
  await server.kill9();
  await until(() => !existsSync(`/proc/${pid}`));
  t.notOk(existsSync(`${server.image}.zswapd`), 'the image holds everything');
  await t.rejects(server.connect(), 'and nobody holds its sockets');
});

t.test(
  'a service manager hears of one service, whatever becomes of its servers',
  { skip: missing('python3') },
  async (t) => {
    const address = join(tempFolder(t), 'notify');
    const manager = await notifications(t, address);
    manager.read();
    const server = await startSupervised(t, { env: { NOTIFY_SOCKET: address }, set: DURABLE });
    await manager.hears('READY=1');
    process.kill(server.pid, 'SIGUSR2');
    await server.another();
    t.notOk(manager.heard.includes('STOPPING=1'), 'an upgrade is no stop');
    t.match(await server.stop(), { code: 0 });
    await manager.hears('STOPPING=1');
  },
);
