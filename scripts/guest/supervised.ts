// A server under its supervisor, of two builds that differ in their version, which is stopped, killed or upgraded in mid-run.
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchControl } from '#src/cli/ask_control.js';
import { childrenOf, describeEnding } from '../support/child.ts';
import { startZswapd } from '../support/zswapd.ts';
import { mortal } from './children.ts';
import { type Endpoint, parseUri } from './endpoint.ts';
import type { Attach, Options, Restart } from './options.ts';
import { NAME, type Restarted, type Server, STOP_SECONDS, until } from './server.ts';

type Running = ReturnType<typeof startZswapd>;

/** A drain of what a guest has out takes as long as the disk does. */
const RESTART_SECONDS = 120;

export async function startSupervised(options: Options, attach: Attach, root: string, folder: string): Promise<Server> {
  // A socket's path has room for 107 bytes, and a checkout may lie deep.
  const sockets = folder.length > 80 ? mkdtempSync(join(tmpdir(), 'zswapd-vm-')) : folder;
  const server = new SupervisedServer(options, attach, root, folder, sockets);
  await server.start(0);
  return {
    endpoint: server.endpoint,
    get child() {
      return server.running.child;
    },
    restart: () => server.restart(options.restart!),
    stop: async () => {
      const { child } = server.running;
      const early = child.ending;
      const ending = early ?? (await child.stop('SIGTERM', STOP_SECONDS));
      if (sockets !== folder) rmSync(sockets, { recursive: true, force: true });
      if (early !== undefined) return `the server ended on its own, ${describeEnding(early)}`;
      return ending.code === 0 ? undefined : `the server's stop failed: ${describeEnding(ending)}`;
    },
  };
}

class SupervisedServer {
  running!: Running;
  endpoint!: Endpoint;
  private readonly options: Options;
  private readonly attach: Attach;
  private readonly folder: string;
  private readonly sockets: string;
  private readonly builds: Builds;

  constructor(options: Options, attach: Attach, root: string, folder: string, sockets: string) {
    this.options = options;
    this.attach = attach;
    this.folder = folder;
    this.sockets = sockets;
    this.builds = new Builds(root, folder);
  }

  /** `port`: 0 picks one; a second start has to have that of the first. */
  async start(port: number): Promise<void> {
    const log = join(this.folder, 'server.log');
    const { times, restart } = this.options;
    // Swap asks for no FLUSH, and a server that is killed may lose what was not flushed. A volatile one is to refuse.
    const strict = restart === 'kill' && this.options.break === undefined;
    this.running = startZswapd({
      command: mortal(process.execPath, [this.builds.program, 'serve', '--supervise']),
      sockets: this.sockets,
      exports: [{ name: NAME, size: '1GiB', image: join(this.folder, `${NAME}.img`) }],
      set: [
        ...(this.attach === 'nbd' ? [`listen.tcp=127.0.0.1:${port}`] : []),
        // With that, and under a supervisor, each WRITE is on the disk before its answer.
        ...(strict ? ['durability=strict'] : []),
        `supervise.restarts=${times}`,
      ],
      more: this.options.serve,
      env: { UV_THREADPOOL_SIZE: '32', STATE_DIRECTORY: this.folder },
      err: (text) => appendFileSync(log, text),
    });
    const { child, uris } = this.running;
    const listener = this.attach === 'blk' ? 'path' : 'port';
    this.endpoint = await until(child, log, () =>
      uris()
        .map(parseUri)
        .find(({ address }) => listener in address),
    );
  }

  /** Throws where no server serves again. */
  async restart(kind: Restart): Promise<Restarted> {
    const { child, uris } = this.running;
    // A line for each listener, and each start says its own.
    const wanted = uris().length + (this.attach === 'nbd' ? 2 : 1);
    const begun = performance.now();
    if (kind === 'clean') {
      const { code } = await child.stop('SIGTERM', STOP_SECONDS);
      if (code !== 0) throw new Error(`the stop ended with ${describeEnding(child.ending!)}`);
      await this.start('port' in this.endpoint.address ? this.endpoint.address.port : 0);
    } else {
      if (kind === 'kill') process.kill(serverOf(child.pid), 'SIGKILL');
      else {
        this.builds.swap();
        await this.ask('/upgrade', 'POST');
      }
      await child.until(() => (uris().length >= wanted ? true : undefined), RESTART_SECONDS);
    }
    const ms = performance.now() - begun;
    const { version } = await this.ask('/stats', 'GET');
    return { ms, version: String(version) };
  }

  private ask(path: string, method: 'GET' | 'POST') {
    return fetchControl(this.running.controlPath, path, method);
  }
}

/** The only child of a supervisor. */
function serverOf(supervisor: number): number {
  const children = childrenOf(supervisor);
  if (children.length !== 1) throw new Error(`the supervisor has ${children.length} children`);
  return children[0];
}

/** Two builds, and a link to the one that is on disk now. */
class Builds {
  readonly program: string;
  private readonly folder: string;
  private current = 'one';

  constructor(root: string, folder: string) {
    this.folder = join(folder, 'builds');
    const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    for (const name of ['one', 'two']) {
      const build = join(this.folder, name);
      mkdirSync(build, { recursive: true });
      // Packages are found above it, in the checkout.
      cpSync(join(root, 'dist/bin'), join(build, 'dist/bin'), { recursive: true });
      cpSync(join(root, 'config'), join(build, 'config'), { recursive: true });
      writeFileSync(join(build, 'package.json'), JSON.stringify({ ...about, version: `${about.version}-${name}` }));
    }
    symlinkSync('one', join(this.folder, 'current'));
    this.program = join(this.folder, 'current/dist/bin/main.js');
  }

  /** The other one, in one step. */
  swap(): void {
    this.current = this.current === 'one' ? 'two' : 'one';
    symlinkSync(this.current, join(this.folder, 'next'));
    renameSync(join(this.folder, 'next'), join(this.folder, 'current'));
  }
}
