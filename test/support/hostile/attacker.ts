/** Floods of connections and of requests from a thread of their own, so that who measures is not slowed by who attacks. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import * as wire from 'node-nbd-server';
import { FIXED, infoData, option, u32 } from '../handshake_driver.ts';
import { rawRequest } from '../raw_client.ts';

export type Attack = 'slow handshakes' | '10,000 connections' | 'reads never taken';

const { path, attack } = workerData as { path: string; attack: Attack };
const MIB = 1024 * 1024;
const SLOW = 300;
const SLOW_ROUNDS = 60;
const ATTEMPTS = 10_000;
const AT_ONCE = 50;
const DEAF = 40;
const DEAF_READS = 256;
const DEAF_MS = 5000;

function dial(): Socket {
  const socket = createConnection({ path });
  // Whoever is refused or cut has what he asked for.
  socket.on('error', () => socket.destroy());
  return socket;
}

const handshake = Buffer.concat([u32(FIXED), option(wire.NBD_OPT_GO, infoData('swap0'))]);

/** One byte at a time, from many at once; those who are cut come again. */
async function slowHandshakes(): Promise<void> {
  const sockets = Array.from({ length: SLOW }, dial);
  for (let round = 0; round < SLOW_ROUNDS; round++) {
    sockets.forEach((socket, n) => {
      if (socket.destroyed || socket.readableEnded) sockets[n] = dial();
      else if (!socket.connecting) socket.resume().write(handshake.subarray(round % 30, (round % 30) + 1));
    });
    await delay(80);
  }
  for (const socket of sockets) socket.destroy();
}

async function connections(): Promise<void> {
  let left = ATTEMPTS;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = dial();
      socket.once('data', () => socket.destroy());
      await once(socket, 'close');
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function deafReads(): Promise<void> {
  const asked = Array.from({ length: DEAF_READS }, (_, n) => rawRequest(wire.NBD_CMD_READ, 0, n, 0, 32 * MIB));
  const sockets = Array.from({ length: DEAF }, () => {
    const socket = dial();
    socket.pause();
    socket.write(Buffer.concat([handshake, ...asked]));
    return socket;
  });
  await delay(DEAF_MS);
  for (const socket of sockets) socket.destroy();
}

const ATTACKS = {
  'slow handshakes': slowHandshakes,
  '10,000 connections': connections,
  'reads never taken': deafReads,
};
await ATTACKS[attack]();
parentPort?.postMessage('over');
