/**
 * Handshakes share their thread with requests, so what one may do in a turn, and what it may leave unsent, is bounded
 * whatever its client asks for and does not read.
 *
 * Seen to fail with Greeter.mayGoOn answering true, and each with the half of it that the other does not need.
 */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import * as wire from 'node-nbd-server';
import t, { type Test } from 'tap';
import { FIXED, infoData, option, u32 } from '../support/handshake_driver.ts';
import { until } from '../support/nbd_server.ts';
import { RamDevice } from '../support/ram_device.ts';
import { tempFolder } from '../support/tmp.ts';

const EXPORTS = 250;
/** Exports that may be shown in a turn: each costs a unit or more, and a part of the list that was begun is done. */
const MAX_SHOWN = 2 * 512 + 32;

interface Shown {
  readonly path: string;
  readonly server: wire.NbdServer;
  /** How often an export was shown, in all and at most in one turn. */
  readonly shown: { total: number; most: number };
}

async function serveMany(t: Test, description: string): Promise<Shown> {
  const shown = { total: 0, most: 0 };
  const devices = Array.from({ length: EXPORTS }, (_, n) => {
    const device = new RamDevice({ name: String(1000 + n), size: 4096 });
    Object.defineProperty(device.info, 'description', {
      get: () => {
        shown.total++;
        return description;
      },
    });
    return device;
  });
  const server = new wire.NbdServer({ devices });
  const path = join(tempFolder(t), 'nbd.sock');
  await server.listen({ path });
  shown.total = 0;
  let before = 0;
  let counting = true;
  const tick = (): void => {
    shown.most = Math.max(shown.most, shown.total - before);
    before = shown.total;
    if (counting) setImmediate(tick);
  };
  tick();
  t.teardown(async () => {
    counting = false;
    await server.close();
  });
  return { path, server, shown };
}

async function ask(t: Test, path: string, lists: number): Promise<Socket> {
  const socket = createConnection({ path });
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  const asked = Array.from({ length: lists }, () => option(wire.NBD_OPT_LIST));
  socket.write(Buffer.concat([u32(FIXED), ...asked, option(wire.NBD_OPT_GO, infoData('1000'))]));
  return socket;
}

/** Counts what comes until the reply to GO, which is the last of it. */
async function drain(t: Test, socket: Socket, lists: number, description: string): Promise<void> {
  // Header, length of the name, name, description; and the reply that ends the list.
  const list = EXPORTS * (20 + 4 + 4 + description.length) + 20;
  const all = 18 + lists * list + (20 + 12) + 20;
  let got = 0;
  socket.on('data', (bytes) => {
    got += bytes.length;
  });
  socket.resume();
  await until(() => got >= all || socket.destroyed);
  t.equal(got, all);
}

t.test('lists that are read as they come take a turn each', async (t) => {
  const { path, shown } = await serveMany(t, '');
  const lists = 9;
  const socket = await ask(t, path, lists);
  await drain(t, socket, lists, '');
  t.equal(shown.total, lists * EXPORTS);
  t.ok(shown.most <= MAX_SHOWN, `${shown.most} exports in a turn`);
});

t.test('lists that nobody reads are not made', async (t) => {
  const description = 'd'.repeat(3500);
  const { path, server, shown } = await serveMany(t, description);
  const lists = 8;
  const socket = await ask(t, path, lists);
  socket.pause();
  await until(() => server.connections === 1 && shown.total > 0);
  for (let same = 0, last = -1; same < 200; same++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (shown.total !== last) same = 0;
    last = shown.total;
  }
  // 256 KiB that are unsent, a part that was begun, and what the kernel has taken.
  t.ok(shown.total < EXPORTS, `${shown.total} exports`);
  await drain(t, socket, lists, description);
});
