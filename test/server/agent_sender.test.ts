// What `zswapd agent` sends with, against a real server: names, charges and frees arrive, also over a server that was away.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Clock, now } from '#src/agent/clock.js';
import { Link } from '#src/agent/link.js';
import { Outbox } from '#src/agent/outbox.js';
import { Sender } from '#src/agent/sender.js';
import { memoryStat } from '../support/control_files.ts';
import { tempFolder } from '../support/tmp.ts';
import { until } from '../support/until.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

const PATHS: Readonly<Record<number, string>> = { 1: '/', 7: '/a', 8: '/a/b' };

function start(t: Test, folder: string): Promise<RunningServer> {
  const exports = [
    {
      name: 'swap0',
      size: '16MiB',
      image: join(folder, 'swap0.img'),
      attribution: 'agent',
      agentToken: join(folder, 'token'),
    },
  ];
  return startServer(t, { folder, exports, set: ['pool.max=64MiB', `agents.unix=${folder}/agents.sock`] });
}

/** The agent's own parts, but for the probes. */
function startSender(t: Test, folder: string) {
  const outbox = new Outbox((id) => PATHS[id]);
  const token = readFileSync(join(folder, 'token'), 'utf8').trim();
  const link = new Link({ path: join(folder, 'agents.sock') }, 'swap0', token);
  const end = new AbortController();
  const state = { slots: 0, broken: 0, said: [] as string[] };
  const sender = new Sender({
    ...{ link, clock: new Clock(), outbox, say: (line) => state.said.push(line) },
    onLimits: (slots) => {
      state.slots = slots;
    },
    onBroken: () => {
      state.broken++;
    },
  });
  const running = sender.run(end.signal);
  t.teardown(async () => {
    end.abort();
    link.close();
    await running;
  });
  return { outbox, state };
}

const zswapped = async (server: RunningServer, path: string): Promise<number> =>
  ((await memoryStat(server, `/swap0${path}`)).zswapped ?? 0) / 4096;

t.test(
  'charges and frees are those of the cgroups that it names, and a server that is started again is told anew',
  async (t) => {
    const folder = tempFolder(t);
    const server = await start(t, folder);
    const { outbox, state } = startSender(t, folder);
    const events = async (one: RunningServer): Promise<number> => (await one.stats()).exports[0].agent.events;
    outbox.charge(0, 8, 7, now());
    outbox.charge(8, 8, 8, now());
    await until(async () => (await events(server)) === 16);
    t.equal(state.slots, 4096);
    const client = await server.connect();
    await writeSlots(client, 0, 32);
    const pages = await Promise.all(['/a', '/a/b', '/unattributed'].map((path) => zswapped(server, path)));
    t.same(pages, [16, 8, 16], 'of a subtree');
    outbox.free(8, 4, now());
    await until(async () => (await memoryStat(server, '/swap0/a/b')).agent_charged === 4 * 4096);
    t.same(await wrongSlots(client, 0, 32), []);
    await client.disconnect();
    const broken = state.broken;
    t.equal((await server.stop()).code, 0);
    const again = await start(t, folder);
    await until(async () => state.broken > broken);
    outbox.charge(0, 4, 8, now());
    await until(async () => (await events(again)) > 0);
    t.equal((await memoryStat(again, '/swap0/a/b')).agent_charged, 4 * 4096);
  },
);

t.test('a free kills what was stored before the exchange before it', async (t) => {
  const folder = tempFolder(t);
  const server = await start(t, folder);
  const { outbox } = startSender(t, folder);
  const agent = async (): Promise<{ events: number; dead: number }> => (await server.stats()).exports[0].agent;
  const client = await server.connect();
  outbox.charge(0, 8, 7, now());
  await writeSlots(client, 0, 8);
  // Whatever is said next has been answered after the pages were stored.
  outbox.charge(8, 1, 7, now());
  await until(async () => (await agent()).events === 9);
  outbox.free(0, 4, now());
  await until(async () => (await agent()).events === 13);
  t.equal((await agent()).dead, 4);
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});

t.test('an agent that connects once more than it may closes its connection that was silent for longest', async (t) => {
  const folder = tempFolder(t);
  const server = await start(t, folder);
  const path = join(folder, 'agents.sock');
  const token = readFileSync(join(folder, 'token'), 'utf8').trim();
  const head = `GET /v1/agent/swap0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n\r\n`;
  const ask = async () => {
    const socket = connect(path);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined).write(head);
    await new Promise((resolve) => socket.once('data', resolve));
    return { socket, closed };
  };
  const open = [await ask(), await ask(), await ask(), await ask()];
  await Promise.all(open.slice(0, 2).map(({ closed }) => closed));
  t.same(
    open.map(({ socket }) => socket.destroyed),
    [true, true, false, false],
    'it has two, the last ones',
  );
  for (const { socket } of open) socket.destroy();
  t.equal((await server.stop()).code, 0);
});
