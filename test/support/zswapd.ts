/**
 * Starts the real server process for one test: `node dist/main.js serve`, with sockets and image in a folder of its own.
 * Invariant: whatever was started is ended, by its own pid, when the test ends.
 */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { NbdClient, type NbdClientOptions } from 'node-nbd-server';
import type { Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { REPOSITORY } from '#src/config/fields.js';
import type { Ending } from '#src/scripts/support/child.js';
import { servedProgram } from '#src/scripts/support/served.js';
import { startZswapd, zswapdArguments } from '#src/scripts/support/zswapd.js';
import { tempFolder } from './tmp.ts';

/** What is served. */
export const MAIN = servedProgram(REPOSITORY);

const LOGGED_MS = 30_000;

type Owner = Pick<Test, 'teardown'>;

export interface ServerOptions {
  /** Further settings, as after --set. They come last, so they win. */
  readonly set?: readonly string[];
  /** Replaces the one export `swap0` of `size` on `image`. */
  readonly exports?: readonly object[];
  /** Size of the one export; 64 MiB unless given. */
  readonly size?: string;
  /** Image of the one export; in the folder unless given. */
  readonly image?: string;
  /** Where sockets and image are; a new folder unless given. A second start is told the folder of the first. */
  readonly folder?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** What runs it with other rights or limits, in its place: prlimit, say. */
  readonly wrap?: readonly string[];
  /** What is started in place of what is served: a copy of it that was changed. */
  readonly program?: string;
  /** Of the process. startServer needs a pipe at 1, because it waits for the ready lines there. */
  readonly stdio?: StdioOptions;
  /** Under a supervisor: `child` and `pid` are that. */
  readonly supervise?: boolean;
  /** How many ready lines to wait for: one per export and socket unless given. */
  readonly readyLines?: number;
}

export type Ended = Ending;

export interface ServerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly folder: string;
  readonly image: string;
  readonly socketPath: string;
  readonly controlPath: string;
  /** Resolves when the process is gone and its output is read to the end. */
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  /** Of the ready lines so far. */
  uris(): string[];
  /** The lines of stderr with `part`, once there are `least` or 30 s are over: stdout and sockets say nothing of what is read of it. */
  logged(part: string, least?: number): Promise<string[]>;
  /** Waits for a value of `condition`; fails with its stderr if the process ends before. */
  until<T>(condition: () => T | undefined): Promise<T>;
}

export interface RunningServer extends Omit<ServerProcess, 'uris'> {
  /** From the ready lines. */
  readonly uris: readonly string[];
  readonly unixUri: string;
  // biome-ignore lint/suspicious/noExplicitAny: the answer is JSON, and each test looks at other parts of it.
  stats(): Promise<any>;
  connect(o?: NbdClientOptions): Promise<NbdClient>;
  stop(signal?: NodeJS.Signals): Promise<Ended>;
  kill9(): Promise<Ended>;
}

/** A test says what is read, and when: what a plan or a counter has of it is the test's. */
const NO_SCRUB = 'pool.scrub=0';

const exportsOf = (folder: string, o: ServerOptions): readonly object[] =>
  o.exports ?? [{ name: 'swap0', size: o.size ?? '64MiB', image: o.image ?? join(folder, 'swap0.img') }];

/** The arguments of a server in `folder`; nothing but the folder is touched, and TCP is off. */
export function serverArguments(folder: string, o: ServerOptions = {}): string[] {
  const set = [NO_SCRUB, ...(o.set ?? [])];
  return [MAIN, 'serve', ...zswapdArguments({ sockets: folder, exports: exportsOf(folder, o), set })];
}

/** Starts the process and does not wait: for starts that must fail, or that are killed on the way. */
export function spawnServer(t: Owner, o: ServerOptions = {}): ServerProcess {
  const folder = o.folder ?? tempFolder(t);
  const { stdio, set = [] } = o;
  const [program, ...args] = [...(o.wrap ?? []), process.execPath, o.program ?? MAIN, 'serve'];
  const { child, ...paths } = startZswapd({
    command: [program, ...args],
    sockets: folder,
    exports: exportsOf(folder, o),
    set: [NO_SCRUB, ...set],
    ...(o.supervise === true ? { more: ['--supervise'] } : {}),
    ...(stdio === undefined ? {} : { stdio }),
    // A server that is killed leaves its markers and notes with the test, and not in the checkout.
    env: { UV_THREADPOOL_SIZE: '32', STATE_DIRECTORY: folder, ...o.env },
  });
  t.teardown(() => child.stop('SIGKILL'));
  return {
    child: child.process,
    pid: child.pid,
    folder,
    image: o.image ?? join(folder, 'swap0.img'),
    ...paths,
    ended: child.ended,
    stdout: () => child.stdout,
    stderr: () => child.stderr,
    async logged(part, least = 1) {
      const lines = (): string[] => child.stderr.split('\n').filter((line) => line.includes(part));
      const end = performance.now() + LOGGED_MS;
      while (lines().length < least && child.ending === undefined && performance.now() < end) await delay(2);
      return lines();
    },
    until: (condition) => child.until(condition),
  };
}

/** Starts a server and waits for its ready lines; fails with its stderr if it ends before. */
export async function startServer(t: Owner, o: ServerOptions = {}): Promise<RunningServer> {
  const server = spawnServer(t, o);
  const { child, controlPath, socketPath } = server;
  const tcp = (o.set ?? []).filter((setting) => setting.startsWith('listen.tcp=')).at(-1) ?? 'listen.tcp=null';
  const lines = o.readyLines ?? (o.exports?.length ?? 1) * (tcp === 'listen.tcp=null' ? 1 : 2);
  const uris = await server.until(() => (server.uris().length < lines ? undefined : server.uris()));
  return {
    ...server,
    uris,
    unixUri: uris.find((uri) => uri.startsWith('nbd+unix:')) ?? '',
    stats: () => fetchControl(controlPath, '/stats'),
    connect: (options) => NbdClient.connect({ socketPath, export: 'swap0', ...options }),
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return server.ended;
    },
    kill9() {
      child.kill('SIGKILL');
      return server.ended;
    },
  };
}

/** A start that must not succeed; resolves with how it ended. */
export function failedStart(t: Owner, o: ServerOptions = {}): Promise<Ended> {
  return spawnServer(t, o).ended;
}
