// Who keeps a place on a listener for agents, on real sockets: strangers make room for strangers, an agent for its own export.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AgentConnections } from '#src/control/agent_connections.js';
import { tempFolder } from '../support/tmp.ts';

async function begin(t: Test) {
  const connections = new AgentConnections({ strangers: 3, perExport: 2 });
  const path = join(tempFolder(t), 's');
  const server = createServer((socket) => connections.add(socket)).listen(path);
  await once(server, 'listening');
  const taken: Socket[] = [];
  server.on('connection', (socket) => taken.push(socket));
  const clients: Socket[] = [];
  t.teardown(() => {
    for (const one of [...clients, ...taken]) one.destroy();
    server.close();
  });
  const newcomer = async (): Promise<Socket> => {
    const client = connect(path).on('error', () => undefined);
    clients.push(client);
    await once(server, 'connection');
    return taken[taken.length - 1];
  };
  const alive = (): number[] => taken.flatMap((socket, i) => (socket.destroyed ? [] : [i]));
  return { connections, newcomer, alive, taken };
}

t.test('of strangers the one that came first goes', async (t) => {
  const { newcomer, alive } = await begin(t);
  for (let i = 0; i < 5; i++) await newcomer();
  t.same(alive(), [2, 3, 4]);
});

t.test('who has said a token has no place among strangers', async (t) => {
  const { connections, newcomer, alive } = await begin(t);
  connections.know(await newcomer(), 'a');
  for (let i = 0; i < 4; i++) await newcomer();
  t.same(alive(), [0, 2, 3, 4]);
});

t.test('an export has places of its own, and of those the most silent goes', async (t) => {
  const { connections, newcomer, alive, taken } = await begin(t);
  for (const name of ['a', 'a', 'b']) connections.know(await newcomer(), name);
  connections.know(taken[0], 'a');
  connections.know(await newcomer(), 'a');
  t.same(alive(), [0, 2, 3], 'the second, since the first has spoken again');
  connections.know(taken[3], 'b');
  connections.know(await newcomer(), 'a');
  t.same(alive(), [0, 2, 3, 4], 'who says the token of another export is of that one');
});

t.test('a name is no stranger, and places of those that have gone are free', async (t) => {
  const { connections, newcomer, alive, taken } = await begin(t);
  for (let i = 0; i < 2; i++) connections.know(await newcomer(), '');
  taken[0].destroy();
  await once(taken[0], 'close');
  connections.know(await newcomer(), '');
  t.same(alive(), [1, 2]);
});
