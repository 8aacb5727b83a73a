/**
 * A lane that stands still in the middle of a run (its process is stopped, the host swaps) holds units of a connection that
 * may have ended meanwhile. Another lane is sooner awake: it answers the request that was sent again, and a newer one, and
 * then the old units come.
 *
 * Seen to fail with Transmission.fenced() asking the flag `behind` alone: LATE reads OLD.
 */
import t, { type Test } from 'tap';
import { until } from '../../support/until.ts';
import { startServer } from '../../support/zswapd.ts';
import { PAGE, Peer, text } from './peer.ts';

const FIRST = 10;
/** They all fit into the kernel's buffer of a unix socket, and into the server's, so that they are one run. */
const PAGES = 40;
const LATE_PAGES = 2;
const LATE = FIRST + PAGES - LATE_PAGES;
/** Microseconds that each store takes. The run as a whole takes longer than a lane may rely on what it has read. */
const STORE_US = 40_000;

async function race(t: Test, stopped: boolean): Promise<void> {
  const server = await startServer(t, {
    set: ['lanes=2', 'unsafe=true', `debug.delay={"ST: insert":${STORE_US}}`],
  });
  const address = { path: server.socketPath };
  // Connections alternate between the lanes.
  const old = await Peer.connect(t, address, 'swap0');
  const fresh = await Peer.connect(t, address, 'swap0');
  // While the lane is busy with the first page, all others arrive.
  await old.send(old.write(FIRST - 1, text('first', 1)));
  await old.send(old.write(FIRST, text('OLD', PAGES)));
  await until(async () => (await server.stats()).pool.stored_pages >= 3);
  if (stopped) process.kill(server.pid, 'SIGSTOP');
  await old.close();
  const acknowledged = fresh.done(fresh.write(LATE, text('NEW', LATE_PAGES)));
  if (stopped) process.kill(server.pid, 'SIGCONT');
  await acknowledged;
  // The old run is over when only the new connection is left.
  await until(async () => (await server.stats()).exports[0].clients === 1);
  const client = await server.connect();
  t.ok((await client.read(LATE * PAGE, LATE_PAGES * PAGE)).equals(text('NEW', LATE_PAGES)));
  await client.disconnect();
  t.match(await server.stop(), { code: 0 });
}

t.test('a lane is slow', (t) => race(t, false));
t.test('the process is stopped for a while', (t) => race(t, true));
