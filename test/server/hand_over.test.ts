// Sockets on their way to the lanes: few at a time for each, the one with the fewest connections first, none before the door opens.
import { closeSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { HandOver } from '#src/server/hand_over.js';
import type { LaneHandle } from '#src/server/threads.js';
import { tempFolder } from '../support/tmp.ts';

const UNGREETED_MAX = 2;

/** Accepted sockets, and lanes that note what they are given. */
async function street(t: Test, lanes: number) {
  const path = join(tempFolder(t), 's');
  const accepted: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => accepted.push(socket)).listen(path);
  t.teardown(() => server.close());
  const given: string[][] = Array.from({ length: lanes }, () => []);
  const handles = given.map((told): LaneHandle => {
    const send: LaneHandle['send'] = (message) => {
      if (message.type === 'socket') t.teardown(() => closeSync(message.fd));
      told.push('connection' in message ? `${message.type} ${message.connection}` : message.type);
    };
    return { connections: 0, ungreeted: 0, send, next: () => new Promise(() => {}), end: async () => {} };
  });
  const door = new HandOver(handles, (line) => t.fail(line));
  t.teardown(() => door.close(false));
  const gone: (string | null)[] = [];
  async function come(): Promise<number> {
    const before = accepted.length;
    const client = connect(path);
    t.teardown(() => client.destroy());
    while (accepted.length === before) await new Promise((resolve) => setImmediate(resolve));
    const socket = accepted[before];
    t.teardown(() => socket.destroy());
    const connection = door.newNumber();
    door.give({ socket, listener: 0, connection, gone: (why) => gone.push(why) });
    return connection;
  }
  return { door, handles, given, gone, come, accepted };
}

t.test('a lane is given more when it has greeted those that it has', async (t) => {
  const { door, handles, given, come } = await street(t, 1);
  door.admit();
  for (let n = 0; n < UNGREETED_MAX + 2; n++) await come();
  t.equal(given[0].length, UNGREETED_MAX);
  handles[0].ungreeted--;
  door.next();
  t.strictSame(given[0].slice(UNGREETED_MAX), [`socket ${UNGREETED_MAX + 1}`], 'who came first is first');
  t.equal(handles[0].connections, UNGREETED_MAX + 1);
});

t.test('the lane with the fewest connections gets the next, as long as it may', async (t) => {
  const { door, handles, given, come } = await street(t, 2);
  door.admit();
  handles[0].connections = 1;
  for (let n = 0; n < 2; n++) await come();
  t.strictSame(given, [['socket 2'], ['socket 1']]);
  handles[0].ungreeted = UNGREETED_MAX;
  handles[1].connections = 100;
  await come();
  t.equal(given[1].at(-1), 'socket 3');
});

t.test('nobody is given away before the door opens, and nobody after it has closed', async (t) => {
  const { door, given, come, accepted } = await street(t, 1);
  await come();
  t.strictSame(given, [[]]);
  door.admit();
  t.strictSame(given, [['socket 1']]);
  door.close(false);
  await come();
  t.strictSame(given, [['socket 1']]);
  door.close(false);
  t.ok(accepted[1].destroyed, 'who waits at the close is sent away');
});

t.test('a connection is dropped where it is: here, or at its lane', async (t) => {
  const { door, given, gone, come, accepted } = await street(t, 1);
  const first = await come();
  door.drop(first);
  t.ok(accepted[0].destroyed);
  t.strictSame(gone, [null]);
  door.admit();
  door.drop(await come());
  t.strictSame(given, [['socket 2', 'drop 2']]);
});

t.test('a client that has gone meanwhile is no connection of a lane', async (t) => {
  const { door, handles, given, gone, come, accepted } = await street(t, 1);
  await come();
  accepted[0].destroy();
  door.admit();
  t.strictSame([given, gone, handles[0].connections], [[[]], [null], 0]);
});
