/**
 * `zswapd serve --supervise`: a small process that holds the listening sockets, and has the server as a child that inherits
 * them (LISTEN_FDS). While no server runs, clients wait in the backlog; who was connected connects again, and sends once more
 * what was not answered.
 *
 *   sockets -> a server -> it ends -> restarts.ts says: start it again, start what is on disk now, or end with its code
 *
 * The server has a session of its own, so that a terminal's signals come here, and are passed on once. Should this process
 * die, the server sees the end of the socket between them, and stops cleanly (supervision.ts).
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import type { Config } from '../config/schema.ts';
import { EXIT, errorText } from '../os/exit_error.ts';
import { LISTEN_FDS_START, SUPERVISOR_VARIABLE } from '../os/inherited_sockets.ts';
import { endProcess } from '../os/process.ts';
import { tried } from '../os/tried.ts';
import type { HeldSocket } from '../os/unix_socket.ts';
import { holdSockets } from './held_sockets.ts';
import { createLog, type Log } from './log.ts';
import { careForOom } from './process_care.ts';
import { type Asked, judge, Restarts, type ServerEnd } from './restarts.ts';
import { ServiceManager, watchdogMs } from './service_manager.ts';
import { closeInspector, INHERITED_IGNORED, Signals } from './signals.ts';
import { MESSAGE_END, type Supervised } from './supervision.ts';
import { costOfKill, refuseOtherBytes } from './write_through.ts';

/** How long the program on disk may take to say its version before it takes the place of the server. */
const REHEARSAL_MS = 30_000;

/** Holds the sockets and runs servers until one ends for good; ends the process. */
export async function supervise(config: Config): Promise<never> {
  refuseOtherBytes(config);
  const signals = new Signals();
  await closeInspector();
  const log = createLog(config.log.level);
  const warn = (line: string): void => log.logger.warn(line);
  careForOom(config.process);
  const sockets = await holdSockets(config, warn);
  const manager = new ServiceManager(process.env.NOTIFY_SOCKET, warn);
  const cost = costOfKill(config);
  if (cost !== null) log.logger.info({ part: 'supervisor' }, cost);
  const code = await new Supervisor(config, log, manager, sockets).run(signals);
  for (const socket of sockets) socket.release();
  await log.flush();
  endProcess(code);
}

class Supervisor {
  private readonly log: Log['logger'];
  private readonly manager: ServiceManager;
  private readonly sockets: readonly HeldSocket[];
  private readonly budget: Restarts;
  private readonly watchdog: number | null;
  private server: ChildProcess | null = null;
  private asked: Asked = 'nothing';
  /** The program on disk is tried before the server is told to stop; until then nothing is asked of it. */
  private rehearsing = false;
  private readonly stopped = new AbortController();
  /** A server has ended unasked, and none has served since. */
  private unclean = false;
  /** Ends the wait before a restart. */
  private hurry: () => void = () => undefined;
  /** When clients were served last; null while they are. */
  private downSince: number | null = null;
  private readonly counts = { restarts: 0, upgrades: 0 };
  private lastEnd: string | null = null;
  private lastEndAt: string | null = null;

  constructor(config: Config, log: Log, manager: ServiceManager, sockets: readonly HeldSocket[]) {
    this.log = log.logger.child({ part: 'supervisor' });
    this.manager = manager;
    this.sockets = sockets;
    this.budget = new Restarts(config.supervise);
    this.watchdog = watchdogMs(process.env, process.pid, (line) => this.log.warn(line));
  }

  /** Resolves with the exit code of the whole. */
  async run(signals: Signals): Promise<number> {
    void this.listen(signals);
    process.on('SIGUSR2', () => void this.upgrade());
    if (this.watchdog !== null) {
      // A server that runs speaks for itself.
      setInterval(() => (this.server === null ? this.manager.pass('WATCHDOG=1') : undefined), this.watchdog).unref();
    }
    for (;;) {
      const killed = oomKills();
      const verdict = judge(await this.once(), this.asked, this.unclean);
      const oom = oomKills() - killed;
      const reason = `${verdict.reason}${oom > 0 ? ` (the kernel ended ${oom} for want of memory meanwhile)` : ''}`;
      if (verdict.next === 'end') {
        this.log[verdict.code === EXIT.ok ? 'info' : 'error']({ code: verdict.code }, reason);
        return verdict.code;
      }
      if (verdict.next === 'upgrade') this.counts.upgrades++;
      else if (!(await this.mayRestart(reason))) return this.asked === 'stop' ? EXIT.drainFailed : EXIT.failed;
      if (this.asked === 'upgrade') this.asked = 'nothing';
    }
  }

  /** Waits as long as it has to be; false where it is not started again. */
  private async mayRestart(reason: string): Promise<boolean> {
    const delay = this.budget.next(performance.now());
    if (delay === null) {
      this.log.fatal(`the server ended unasked: ${reason}; supervise.restarts are used up: it is not started again`);
      return false;
    }
    this.counts.restarts++;
    this.unclean = true;
    this.log.error({ delay, ...this.counts }, `the server ended unasked: ${reason}; started again in ${delay} ms`);
    this.manager.pass(`STATUS=started again in ${delay} ms: ${reason}`);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    if (this.asked !== 'stop') return true;
    this.log.error('stopped before the server was started again: images and markers are as its end has left them');
    return false;
  }

  /** One server, from its start to its end. */
  private async once(): Promise<ServerEnd> {
    const link = LISTEN_FDS_START + this.sockets.length;
    const supervised: Supervised = {
      ...{ pid: process.pid, fd: link, ...this.counts },
      ...{ lastEnd: this.lastEnd, lastEndAt: this.lastEndAt },
    };
    const server = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      stdio: ['inherit', 'inherit', 'inherit', ...this.sockets.map(({ fd }) => fd), 'pipe'],
      env: this.environment(supervised),
      detached: true,
    });
    const end = await new Promise<ServerEnd>((resolve) => {
      server.once('exit', (code, signal) => resolve({ code, signal }));
      server.once('error', (error) => {
        this.log.error({ err: error }, 'the server could not be started');
        resolve({ code: EXIT.failed, signal: null });
      });
      if (server.pid === undefined) return;
      this.server = server;
      this.hear(server.stdio[link] as unknown as Socket);
      // A stop that came while there was none.
      if (this.asked === 'stop') server.kill('SIGTERM');
    });
    this.server = null;
    this.downSince ??= performance.now();
    this.lastEnd = end.signal ?? `exit ${end.code}`;
    this.lastEndAt = new Date().toISOString();
    return end;
  }

  private environment(supervised: Supervised): NodeJS.ProcessEnv {
    const { LISTEN_PID, LISTEN_FDNAMES, NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC, ...environment } = process.env;
    return {
      ...environment,
      // Nobody knows the pid of a process before it is there. What is said here is for this child alone.
      LISTEN_FDS: String(this.sockets.length),
      [SUPERVISOR_VARIABLE]: JSON.stringify(supervised),
      // What this process ignores does not come to the server either.
      [INHERITED_IGNORED]: '0',
      ...(this.watchdog === null || WATCHDOG_USEC === undefined ? {} : { WATCHDOG_USEC }),
    };
  }

  /** What the server would tell a service manager. */
  private hear(link: Socket): void {
    let rest = '';
    link.setEncoding('utf8');
    link.on('error', () => undefined);
    link.on('data', (text: string) => {
      const messages = (rest + text).split(MESSAGE_END);
      rest = messages.pop() ?? '';
      for (const message of messages) this.relay(message);
    });
  }

  private relay(message: string): void {
    if (message.startsWith('READY=1')) this.ready();
    // A stop that is followed by a start is none for the manager, which would set a time limit to it.
    const said = message
      .split('\n')
      .filter((line) => this.asked === 'stop' || !/^(STOPPING|EXTEND_TIMEOUT_USEC)=/.test(line));
    if (said.length > 0) this.manager.pass(said.join('\n'));
  }

  private ready(): void {
    this.unclean = false;
    if (this.downSince === null) return;
    const ms = Math.round(performance.now() - this.downSince);
    this.downSince = null;
    if (this.lastEnd === null) return;
    this.log.info({ ms, pid: this.server?.pid, ...this.counts }, `serving again after ${ms} ms`);
  }

  private async listen(signals: Signals): Promise<void> {
    for (;;) {
      const signal = await signals.next();
      const first = this.asked !== 'stop';
      const stopping = this.asked !== 'nothing';
      this.asked = 'stop';
      this.stopped.abort();
      this.hurry();
      // In an upgrade it stops already, and a second signal would abort its drain.
      if (first && stopping) this.log.info({ signal }, 'stopping: no server is started after this one');
      else this.server?.kill(signal as NodeJS.Signals);
    }
  }

  private async upgrade(): Promise<void> {
    if (this.asked !== 'nothing' || this.rehearsing) {
      this.log.warn(`SIGUSR2: the server ${this.rehearsing ? 'is being replaced' : 'stops'} already`);
      return;
    }
    if (this.server === null) {
      this.log.info('SIGUSR2: no server runs, and the next one is what is on disk then');
      return;
    }
    const { server } = this;
    this.rehearsing = true;
    const version = await this.rehearse();
    this.rehearsing = false;
    // A stop came meanwhile; or the server has ended by itself, and the next one is what is on disk.
    if (version === null || this.asked !== 'nothing' || this.server !== server) return;
    this.asked = 'upgrade';
    this.log.info({ version }, `upgrade: the server stops, and ${version} takes its place`);
    this.downSince = performance.now();
    server.kill('SIGTERM');
  }

  /** The version of the program on disk; null, and a line in the log, where it does not even say that. */
  private async rehearse(): Promise<string | null> {
    const args = [...process.execArgv, process.argv[1], '--version'];
    try {
      const { signal } = this.stopped;
      const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: REHEARSAL_MS, signal });
      return stdout.trim();
    } catch (error) {
      if (!this.stopped.signal.aborted)
        this.log.error(`upgrade refused, the server goes on: the program on disk does not start: ${errorText(error)}`);
      return null;
    }
  }
}

/** How many processes of this machine the kernel has ended for want of memory; 0 where it does not say. */
function oomKills(): number {
  const counters = tried(() => readFileSync('/proc/vmstat', 'latin1')) ?? '';
  return Number(/^oom_kill (\d+)$/m.exec(counters)?.[1] ?? 0);
}
