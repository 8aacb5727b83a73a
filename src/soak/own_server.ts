/**
 * The server of a soak: the program that scripts/serve starts, as a child, with sockets and image in a folder of its own that
 * goes away with it. Its log is kept with the report.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { REPOSITORY } from '../config/fields.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';

const READY_MS = 60_000;
/** A stop writes the pool to the image. */
const STOP_MS = 60_000;
/** As scripts/serve has it. */
const UV_THREADS = '32';
export const EXPORT = 'swap0';

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface OwnServerOptions {
  readonly bytes: number;
  /** Settings, as after --set; they come last, so they win. */
  readonly set: readonly string[];
  /** What the server logs is appended here. */
  readonly log: string;
}

export class OwnServer {
  readonly folder: string;
  readonly image: string;
  readonly uri: string;
  readonly controlPath: string;
  readonly #o: OwnServerOptions;
  #child: ChildProcess | null = null;
  #asked = false;
  /** Gets how it ended when nobody asked it to. */
  onEnd: (ending: Ending) => void = () => undefined;

  constructor(o: OwnServerOptions) {
    this.#o = o;
    this.folder = mkdtempSync(join(tmpdir(), 'zswapd-soak-'));
    this.image = join(this.folder, 'swap0.img');
    this.controlPath = join(this.folder, 'c');
    this.uri = `nbd+unix:///${EXPORT}?socket=${encodeURIComponent(join(this.folder, 'n'))}`;
    process.on('exit', this.#atExit);
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /**
   * Resolves when it is ready. What it refuses of its settings is a mistake of usage, and an image that is stale its own code.
   * `discard`: such an image is discarded.
   */
  async start({ discard = false } = {}): Promise<void> {
    this.#asked = false;
    const log = openSync(this.#o.log, 'a', 0o600);
    const joined = resolve(REPOSITORY, 'dist/bin/main.js');
    const program = existsSync(joined) ? joined : resolve(REPOSITORY, 'dist/main.js');
    const child = spawn(process.execPath, [program, 'serve', ...this.#arguments(discard)], {
      stdio: ['ignore', 'pipe', log],
      // Of a group of its own: Ctrl-C is for the soak, which stops it when it has what it needs.
      detached: true,
      env: { ...process.env, UV_THREADPOOL_SIZE: UV_THREADS, STATE_DIRECTORY: this.folder },
    });
    closeSync(log);
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      let said = '';
      let isReady = false;
      const late = setTimeout(() => reject(this.#refusal('was not ready in time', EXIT.failed)), READY_MS);
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (isReady) return;
        said += text;
        isReady = /^ready .*\n/m.test(said);
        if (!isReady) return;
        clearTimeout(late);
        resolve();
      });
      child.on('error', reject);
      child.on('exit', (code, signal) => {
        clearTimeout(late);
        this.#child = null;
        if (isReady && !this.#asked) this.onEnd({ code, signal });
        const exitCode = code === EXIT.usage || code === EXIT.staleImage ? code : EXIT.failed;
        if (!isReady)
          reject(this.#refusal(`ended with ${signal ?? `exit code ${code}`} before it was ready`, exitCode));
      });
    });
  }

  /** Asks it to stop; null where it is gone already. One that does not end in time is killed. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending | null> {
    const child = this.#child;
    this.#asked = true;
    if (child === null) return Promise.resolve(null);
    return new Promise((done) => {
      const killer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      child.once('exit', (code, by) => {
        clearTimeout(killer);
        done({ code, signal: by });
      });
      child.kill(signal);
    });
  }

  /** Takes its folder away. */
  remove(): void {
    process.off('exit', this.#atExit);
    rmSync(this.folder, { recursive: true, force: true });
  }

  readonly #atExit = (): void => {
    this.#child?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };

  #arguments(discard: boolean): string[] {
    const onUnclean = discard ? 'reset' : 'refuse';
    const exports = [{ name: EXPORT, size: this.#o.bytes, image: this.image, onUnclean }];
    const set = [
      `listen.unix=${join(this.folder, 'n')}`,
      'listen.tcp=null',
      `control.listen=${this.controlPath}`,
      `exports=${JSON.stringify(exports)}`,
      ...this.#o.set,
    ];
    return set.flatMap((setting) => ['--set', setting]);
  }

  #refusal(what: string, code: number): ExitError {
    const lines = readFileSync(this.#o.log, 'utf8').trim().split('\n');
    // A line of the log is JSON; what is written for the operator is not.
    const last = lines.filter((line) => !line.startsWith('{')).at(-1);
    return new ExitError(code, last ?? `the server ${what}; its log: ${this.#o.log}`);
  }
}
