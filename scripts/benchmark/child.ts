/**
 * Child processes of the benchmark. Every one that was started is ended by its own pid, also when the benchmark is
 * interrupted; what a child prints is kept only as a tail, so a chatty one cannot fill the memory.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** Room for the longest document that a child prints, and for its last complaints. */
const STDOUT_LIMIT = 1 << 20;
const STDERR_LIMIT = 8192;
const running = new Set<Child>();
let closing = false;

export class Child {
  readonly command: string;
  readonly #process: ChildProcessByStdio<null, Readable, Readable>;
  readonly #closed: Promise<unknown>;
  #stdout = '';
  #stderr = '';
  #failure: Error | undefined;

  constructor(command: string, args: readonly string[], cwd?: string) {
    if (closing) throw new Error('the benchmark is ending');
    this.command = command;
    this.#process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(cwd === undefined ? {} : { cwd }) });
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-STDOUT_LIMIT);
    });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_LIMIT);
    });
    this.#closed = once(this.#process, 'close').catch((error: Error) => {
      this.#failure = error;
    });
    running.add(this);
    void this.#closed.then(() => running.delete(this));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get alive(): boolean {
    return this.#failure === undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Why it is no longer there, or what it complained about last. */
  describe(): string {
    const end = this.alive ? 'runs' : `ended with ${this.#process.signalCode ?? `exit code ${this.#process.exitCode}`}`;
    const lines = this.#stderr.trim().split('\n').slice(-3).join(' / ');
    return `${this.command} ${this.#failure?.message ?? end}${lines === '' ? '' : `: ${lines}`}`;
  }

  /** Exit code of a child that ends by itself; killed when it outlives the limit. */
  async finish(limitSeconds: number): Promise<number> {
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), limitSeconds * 1000);
    await this.#closed;
    clearTimeout(timer);
    return this.#process.exitCode ?? -1;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.alive) this.#process.kill(signal);
    await this.finish(15);
  }

  /** Polls, because a foreign server tells that it is ready by a file only. A child that is late is ended. */
  async until<T>(condition: () => T | undefined, limitSeconds = 60): Promise<T> {
    const deadline = performance.now() + limitSeconds * 1000;
    for (;;) {
      const value = condition();
      if (value !== undefined) return value;
      if (!this.alive) throw new Error(this.describe());
      if (performance.now() > deadline) {
        const message = `not ready after ${limitSeconds} s: ${this.describe()}`;
        await this.end('SIGKILL');
        throw new Error(message);
      }
      await delay(20);
    }
  }

  async untilFile(path: string): Promise<void> {
    await this.until(() => (existsSync(path) ? true : undefined));
  }
}

/** The last call: no child can be started after it, so nothing outlives an interrupted run. */
export async function endAll(): Promise<void> {
  closing = true;
  await Promise.all([...running].map((child) => child.end('SIGKILL')));
}

/** Output of a short command, or undefined when it is missing or fails. */
export async function capture(command: string, ...args: string[]): Promise<string | undefined> {
  const child = new Child(command, args);
  return (await child.finish(20)) === 0 ? child.stdout : undefined;
}
