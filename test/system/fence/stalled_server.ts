/**
 * A real server whose image can be made to stand still: the image is a file that nbdfuse shows from nbdkit, whose pause
 * filter holds every request back until it is told to go on.
 *
 * Invariant: all that was started is ended and unmounted with the test; the pause is lifted first, because nothing can
 * be ended well while it waits for its file.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startNbdkit } from '../../support/nbdkit.ts';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { until } from '../../support/until.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { type Address, PAGE, Peer } from './peer.ts';

/** Why these tests cannot run here; false if they can. */
export function stallMissing(): string | false {
  const reason = missing('root', 'nbdkit', 'nbdfuse', 'umount', '/dev/fuse');
  if (reason !== false) return reason;
  const { status } = spawnSync('nbdkit', ['--filter=pause', 'memory', '--dump-plugin']);
  return status === 0 ? false : 'nbdkit has no pause filter';
}

/** The ways in which two connections can meet: over one socket or another, on one thread or on two. */
export interface Setting {
  readonly transport: 'unix' | 'tcp';
  readonly lanes: 0 | 1 | 2;
}

const PLAIN: readonly Setting[] = [
  { transport: 'unix', lanes: 0 },
  { transport: 'unix', lanes: 2 },
  { transport: 'tcp', lanes: 2 },
];

/** A plain run has each transport and each number of threads, ZSWAPD_LONG=1 what is left of their pairs. */
export const SETTINGS: readonly Setting[] =
  process.env.ZSWAPD_LONG === '1' ? [...PLAIN, { transport: 'unix', lanes: 1 }, { transport: 'tcp', lanes: 0 }] : PLAIN;

export interface StalledServer {
  readonly server: RunningServer;
  /** The image answers nothing any more. */
  pause(): Promise<void>;
  /** The image answers everything that waited, and all that follows. */
  resume(): Promise<void>;
  /** Connections alternate between the lanes, so with two of them the second is not on the first one's thread. */
  connect(): Promise<Peer>;
  /** A counter of the pool, summed over the threads. */
  counter(name: string): Promise<number>;
  /** Waits until a counter has reached `value`. */
  reached(name: string, value: number): Promise<void>;
  /** What the image holds; for after the server has stopped. */
  image(slot: number, pages: number): Buffer;
  /** Waits until the server has only the sockets of `peers` connections open, so that nothing else can still happen. */
  left(peers: number): Promise<void>;
}

export async function startStalled(t: Test, setting: Setting, mib = 64): Promise<StalledServer> {
  const folder = tempFolder(t);
  const image = join(folder, 'swap0.img');
  const control = await showImage(t, folder, image, mib);
  const server = await startServer(t, {
    folder,
    image,
    size: `${mib}MiB`,
    set: [`lanes=${setting.lanes}`, 'image.direct=off', 'pool.max=16MiB', 'listen.tcp=127.0.0.1:0'],
  });
  const sockets = openSockets(server.pid);
  const address: Address =
    setting.transport === 'unix'
      ? { path: server.socketPath }
      : { host: '127.0.0.1', port: Number(new URL(server.uris[1]).port) };
  const counter = async (name: string): Promise<number> => (await server.stats()).pool[name];
  return {
    server,
    counter,
    pause: () => command(control, 'p'),
    resume: () => command(control, 'r'),
    connect: () => Peer.connect(t, address, 'swap0'),
    reached: (name, value) => until(async () => (await counter(name)) >= value),
    image: (slot, pages) => readPages(image, slot, pages),
    left: (peers) => until(() => openSockets(server.pid) === sockets + peers),
  };
}

/** Makes `image` a file of nbdkit's memory; resolves with the socket that pauses it. */
async function showImage(t: Test, folder: string, image: string, mib: number): Promise<Socket> {
  const controlPath = join(folder, 'pause.sock');
  const { socketPath } = await startNbdkit(t, ['--filter=pause', 'memory', `${mib}M`, `pause-control=${controlPath}`]);
  writeFileSync(image, '');
  const pidFile = join(folder, 'nbdfuse.pid');
  const fuse = spawn('nbdfuse', ['-P', pidFile, image, `nbd+unix:///?socket=${socketPath}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const control = createConnection({ path: controlPath });
  t.teardown(() => unmount(fuse, image, control));
  await once(control, 'connect');
  await until(() => {
    if (fuse.exitCode !== null) throw new Error(`nbdfuse ended with code ${fuse.exitCode}`);
    return mounted(image);
  });
  return control;
}

function mounted(path: string): boolean {
  return readFileSync('/proc/mounts', 'utf8').includes(` ${path} fuse`);
}

/** Runs when the server is gone: tap takes what was set up last down first. */
async function unmount(fuse: ChildProcess, image: string, control: Socket): Promise<void> {
  const exited = fuse.exitCode === null ? once(fuse, 'exit') : Promise.resolve();
  await command(control, 'r');
  control.destroy();
  if (mounted(image)) spawnSync('umount', ['-l', image], { stdio: 'inherit' });
  else fuse.kill('SIGKILL');
  await exited;
}

/** The filter answers each letter with its capital, a pause only when nothing is under way. */
async function command(control: Socket, letter: string): Promise<void> {
  const answer = once(control, 'data');
  control.write(letter);
  const [data] = await answer;
  if (String(data) !== letter.toUpperCase()) throw new Error(`the pause filter answered ${data}`);
}

function readPages(path: string, slot: number, pages: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const found = Buffer.alloc(pages * PAGE);
    readSync(fd, found, 0, found.length, slot * PAGE);
    return found;
  } finally {
    closeSync(fd);
  }
}

/** How many sockets a process has open. A descriptor may close between its listing and the look at it. */
function openSockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(join(folder, fd)).startsWith('socket:');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }).length;
}
