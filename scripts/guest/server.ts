// The NBD server that a run swaps on: our own, nbdkit's memory plugin, or one that runs already.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { byLine, Child, describeEnding } from './children.ts';
import { type Endpoint, parseUri } from './endpoint.ts';
import type { Attach, Options } from './options.ts';
import { toolPath } from './tools.ts';

/** A first start may install and build. */
const READY_SECONDS = 300;
/** Our server drains its pool into the image before it ends: 450 MB of pages at a slow disk's 10 MB/s. */
const STOP_SECONDS = 60;

const NAME = 'swap0';

export interface Server {
  readonly endpoint: Endpoint;
  /** The process, if this run started one. */
  readonly child: Child | undefined;
  /** Ends it; returns what was wrong with that, if anything. */
  stop(): Promise<string | undefined>;
}

export async function startServer(options: Options, attach: Attach, root: string, folder: string): Promise<Server> {
  if (options.uri !== undefined) {
    const endpoint = parseUri(options.uri);
    return { endpoint, child: undefined, stop: async () => undefined };
  }
  // A socket's path has room for 107 bytes, and a checkout may lie deep.
  const sockets = folder.length > 80 ? mkdtempSync(join(tmpdir(), 'zswapd-vm-')) : folder;
  const { child, endpoint } = await (options.server === 'nbdkit'
    ? startNbdkit(folder, sockets)
    : startZswapd(options, attach, root, folder, sockets));
  return {
    endpoint,
    child,
    stop: async () => {
      const early = child.ending;
      const ending = early ?? (await child.stop(STOP_SECONDS));
      if (sockets !== folder) rmSync(sockets, { recursive: true, force: true });
      if (early !== undefined) return `the server ended on its own, ${describeEnding(early)}`;
      return ending.code === 0 ? undefined : `the server's stop failed: ${describeEnding(ending)}`;
    },
  };
}

type Started = { child: Child; endpoint: Endpoint };

async function startZswapd(
  options: Options,
  attach: Attach,
  root: string,
  folder: string,
  sockets: string,
): Promise<Started> {
  const log = join(folder, 'server.log');
  const exports = [{ name: NAME, size: '1GiB', image: join(folder, `${NAME}.img`) }];
  const settings = [
    `listen.unix=${join(sockets, 'nbd.sock')}`,
    // QEMU's client takes the unix socket; the guest's own can only come over TCP, which is off by default.
    `listen.tcp=${attach === 'nbd' ? '127.0.0.1:0' : 'null'}`,
    `control.listen=${join(sockets, 'control.sock')}`,
    `exports=${JSON.stringify(exports)}`,
  ];
  const ready: Endpoint[] = [];
  const child = new Child(
    join(root, 'scripts/serve'),
    [...settings.flatMap((setting) => ['--set', setting]), ...options.serve],
    byLine((line) => {
      if (line.startsWith('ready ')) ready.push(parseUri(line.slice('ready '.length)));
    }),
    (text) => appendFileSync(log, text),
  );
  const listener = attach === 'blk' ? 'path' : 'port';
  const endpoint = () => ready.find(({ name, address }) => name === NAME && listener in address);
  await until(child, log, () => endpoint() !== undefined);
  return { child, endpoint: endpoint()! };
}

async function startNbdkit(folder: string, sockets: string): Promise<Started> {
  const log = join(folder, 'server.log');
  const path = join(sockets, 'nbd.sock');
  const write = (text: string): void => appendFileSync(log, text);
  const child = new Child(toolPath('nbdkit'), ['--foreground', '--unix', path, 'memory', '1G'], write, write);
  await until(child, log, () => answers(path));
  return { child, endpoint: { name: NAME, address: { path } } };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.on('connect', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function until(child: Child, log: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_SECONDS * 1000;
  while (!(await condition())) {
    if (child.ending !== undefined) {
      throw new Error(`the server did not start: ${describeEnding(child.ending)}\n${tail(log)}`);
    }
    if (performance.now() > deadline) {
      await child.stop(5);
      throw new Error(`the server was not ready after ${READY_SECONDS} s\n${tail(log)}`);
    }
    await delay(50);
  }
}

/** The last lines of a log file, for a failure message. */
export function tail(file: string, lines = 40): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch (error) {
    return `(${(error as Error).message})`;
  }
}
