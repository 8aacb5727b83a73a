// The NBD server that a run swaps on: our own, nbdkit's memory plugin, or one that runs already.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, describeEnding } from '../support/child.ts';
import { READY_SECONDS, startZswapd } from '../support/zswapd.ts';
import { mortal } from './children.ts';
import { type Endpoint, parseUri } from './endpoint.ts';
import type { Attach, Options } from './options.ts';
import { toolPath } from './tools.ts';

/** Our server drains its pool into the image before it ends: 450 MB of pages at a slow disk's 10 MB/s. */
export const STOP_SECONDS = 60;

export const NAME = 'swap0';

/** What an own server gets beside the run's usual settings. */
export interface ServerExtras {
  /** Of its export. */
  readonly export?: object;
  readonly set?: readonly string[];
}

/** What a restart came to. */
export interface Restarted {
  /** From the moment in which the server was there no more, or was told to stop, to the ready lines of the next. */
  readonly ms: number;
  /** Of the server that serves now. */
  readonly version: string;
}

export interface Server {
  readonly endpoint: Endpoint;
  /** Of our own: its control socket, and the folder of its sockets. */
  readonly control?: string;
  readonly sockets?: string;
  /** The process, if this run started one. */
  readonly child: Child | undefined;
  /** Of one that is supervised: one restart of the kind that the run is about. */
  readonly restart?: () => Promise<Restarted>;
  /** Ends it; returns what was wrong with that, if anything. */
  stop(): Promise<string | undefined>;
}

export async function startServer(
  options: Options,
  attach: Attach,
  root: string,
  folder: string,
  extras: (sockets: string) => ServerExtras = () => ({}),
): Promise<Server> {
  if (options.uri !== undefined) {
    const endpoint = parseUri(options.uri);
    return { endpoint, child: undefined, stop: async () => undefined };
  }
  // A socket's path has room for 107 bytes, and a checkout may lie deep.
  const sockets = folder.length > 80 ? mkdtempSync(join(tmpdir(), 'zswapd-vm-')) : folder;
  const { child, endpoint, control } = await (options.server === 'nbdkit'
    ? startNbdkit(folder, sockets)
    : startOurs(options, attach, root, folder, sockets, extras(sockets)));
  return {
    endpoint,
    ...(control === undefined ? {} : { control, sockets }),
    child,
    stop: async () => {
      const early = child.ending;
      const ending = early ?? (await child.stop('SIGTERM', STOP_SECONDS));
      if (sockets !== folder) rmSync(sockets, { recursive: true, force: true });
      if (early !== undefined) return `the server ended on its own, ${describeEnding(early)}`;
      return ending.code === 0 ? undefined : `the server's stop failed: ${describeEnding(ending)}`;
    },
  };
}

type Started = { child: Child; endpoint: Endpoint; control?: string };

async function startOurs(
  options: Options,
  attach: Attach,
  root: string,
  folder: string,
  sockets: string,
  extras: ServerExtras,
): Promise<Started> {
  const log = join(folder, 'server.log');
  const { child, uris, controlPath } = startZswapd({
    command: mortal(join(root, 'scripts/serve')),
    sockets,
    exports: [{ name: NAME, size: '1GiB', image: join(folder, `${NAME}.img`), ...extras.export }],
    // QEMU's client takes the unix socket; the guest's own can only come over TCP, which is off by default.
    set: [...(attach === 'nbd' ? ['listen.tcp=127.0.0.1:0'] : []), ...(extras.set ?? [])],
    more: options.serve,
    err: (text) => appendFileSync(log, text),
  });
  const listener = attach === 'blk' ? 'path' : 'port';
  const endpoint = () =>
    uris()
      .map(parseUri)
      .find(({ name, address }) => name === NAME && listener in address);
  return { child, endpoint: await until(child, log, endpoint), control: controlPath };
}

async function startNbdkit(folder: string, sockets: string): Promise<Started> {
  const log = join(folder, 'server.log');
  const path = join(sockets, 'nbd.sock');
  const write = (text: string): void => appendFileSync(log, text);
  const [program, ...args] = mortal(toolPath('nbdkit'), ['--foreground', '--unix', path, 'memory', '1G']);
  const child = new Child(program, args, { out: write, err: write });
  await until(child, log, async () => (await answers(path)) || undefined);
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

export async function until<T>(
  child: Child,
  log: string,
  condition: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  return child.until(condition, READY_SECONDS).catch((error: Error) => {
    throw new Error(`the server did not start: ${error.message}\n${tail(log)}`, { cause: error });
  });
}

/** The last lines of a log file, for a failure message. */
export function tail(file: string, lines = 40): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch (error) {
    return `(${(error as Error).message})`;
  }
}
