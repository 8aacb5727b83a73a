/**
 * Child processes of scripts and tests. Each is known by its pid and ended by it, at the latest with this process. What one
 * prints is kept up to a bound, its end rather than its beginning, so that a chatty one cannot fill the memory.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Characters of stdout, and of stderr. The longest documents that are read this way have a tenth of it. */
const OUTPUT_MAX = 1 << 24;
/** How often a condition is looked at while a child prints nothing: some say by a file alone that they are ready. */
const LOOK_MS = 20;
/** Who is asked to end has so long, unless its caller knows better. */
const STOP_SECONDS = 15;

/** How a process ended; `code` is null after a signal, and 127 where it could not be started. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function describeEnding({ code, signal }: Pick<Ending, 'code' | 'signal'>): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}

export interface ChildOptions {
  readonly cwd?: string;
  /** Beside the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** Nothing on stdin, and pipes, unless given. */
  readonly stdio?: StdioOptions;
  /** Gets what it writes, in chunks. */
  readonly out?: (text: string) => void;
  readonly err?: (text: string) => void;
}

const running = new Set<Child>();
let closing = false;

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Child {
  readonly command: string;
  readonly process: ChildProcess;
  /** Resolves when the process is gone and its output is read to the end. */
  readonly ended: Promise<Ending>;
  /** Set once it has ended. */
  ending: Ending | undefined;
  /** Why it could not be started. */
  failure: Error | undefined;
  stdout = '';
  stderr = '';

  constructor(command: string, args: readonly string[], { cwd, env, stdio, out, err }: ChildOptions = {}) {
    if (closing) throw new Error('this process is ending, and starts no other');
    this.command = command;
    this.process = spawn(command, args, {
      stdio: stdio ?? ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    running.add(this);
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-OUTPUT_MAX);
      out?.(text);
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-OUTPUT_MAX);
      err?.(text);
    });
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        running.delete(this);
        this.ending ??= { code, signal, stdout: this.stdout, stderr: this.stderr };
        resolve(this.ending);
      };
      // 'close' and not 'exit': by then all that it wrote has been read.
      this.process.on('close', end);
      this.process.on('error', (error) => {
        // Else a signal could not be sent, to one that is there.
        if (this.process.pid !== undefined) return;
        this.failure = error;
        err?.(`${command}: ${error.message}\n`);
        end(127, null);
      });
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** Why it is no longer there, or what it complained about last. */
  describe(): string {
    const end = this.ending === undefined ? 'runs' : `ended with ${describeEnding(this.ending)}`;
    const lines = this.stderr.trim().split('\n').slice(-3).join(' / ');
    return `${this.command} ${this.failure?.message ?? end}${lines === '' ? '' : `: ${lines}`}`;
  }

  kill(signal: NodeJS.Signals): void {
    if (this.ending === undefined) this.process.kill(signal);
  }

  /** How it ends by itself; killed when it outlives the limit. */
  async finish(limitSeconds: number): Promise<Ending> {
    const killer = setTimeout(() => this.kill('SIGKILL'), limitSeconds * 1000);
    const ending = await this.ended;
    clearTimeout(killer);
    return ending;
  }

  /** Asks it to end, and kills it when it does not within the deadline. */
  stop(signal: NodeJS.Signals = 'SIGTERM', deadlineSeconds = STOP_SECONDS): Promise<Ending> {
    this.kill(signal);
    return this.finish(deadlineSeconds);
  }

  /** Waits until `condition` has a value. A child that ends before is an error, and so is one that is late, which is ended. */
  async until<T>(condition: () => T | undefined | Promise<T | undefined>, limitSeconds = 60): Promise<T> {
    const deadline = performance.now() + limitSeconds * 1000;
    for (;;) {
      const value = await condition();
      if (value !== undefined) return value;
      if (this.ending !== undefined) throw new Error(`${this.describe()}, before it was ready`);
      if (performance.now() > deadline) {
        const message = `not ready after ${limitSeconds} s: ${this.describe()}`;
        await this.stop('SIGKILL');
        throw new Error(message);
      }
      await this.moved();
    }
  }

  /** The next output, the end, or a moment. */
  private async moved(): Promise<void> {
    const over = new AbortController();
    const { stdout } = this.process;
    let printed = (): void => undefined;
    const output = new Promise<void>((resolve) => {
      printed = resolve;
      stdout?.once('data', printed);
    });
    const moment = delay(LOOK_MS, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([output, this.ended, moment]);
    over.abort();
    stdout?.off('data', printed);
  }

  async untilFile(path: string): Promise<void> {
    await this.until(() => (existsSync(path) ? true : undefined));
  }
}

/** The last call: no child can be started after it, so nothing outlives an interrupted run. */
/** The processes that it has started and that are there; none of one that is gone. */
export function childrenOf(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`;
  return existsSync(list) ? (readFileSync(list, 'utf8').match(/\d+/g) ?? []).map(Number) : [];
}

export async function endAll(): Promise<void> {
  closing = true;
  await Promise.all([...running].map((child) => child.stop('SIGKILL')));
}

/** Output of a short command, or undefined when it is missing or fails. */
export async function capture(command: string, ...args: string[]): Promise<string | undefined> {
  const { code, stdout } = await new Child(command, args).finish(20);
  return code === 0 ? stdout : undefined;
}
