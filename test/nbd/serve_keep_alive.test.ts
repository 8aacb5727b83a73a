// A TCP client that vanished while it was idle does not keep its place for ever: the system asks after it.
import t from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { until } from '../support/nbd_server.ts';
import { rawClient } from '../support/raw_client.ts';
import { KEEP_ALIVE_PENDING, timerOf } from '../support/tcp_timer.ts';

t.test('each accepted TCP connection', async (t) => {
  const { server } = await running(t, ram({}));
  const client = await rawClient(t, server.port, 'ram');
  const timer = () => timerOf(server.port, client.socket.localPort!);
  // Until all that was sent is acknowledged, another timer runs.
  await until(() => timer().kind === KEEP_ALIVE_PENDING);
  t.ok(timer().ticks > 60 * 100, 'but not so soon that a short outage is the end of it');
});
