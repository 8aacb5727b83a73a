/**
 * A guest as the load of a soak: ./scripts/vm boots one that swaps on the server, again and again until the time is up. Each
 * verifies every byte of its memory by itself, so what is known here is what its passes said.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { REPOSITORY } from '../config/fields.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { Ledger } from './ledger.ts';
import type { Load } from './load.ts';
import { type Check, check } from './verdict.ts';

const SCRIPT = resolve(REPOSITORY, 'scripts/vm');
/** The exit codes of scripts/vm. */
const VM = { verified: 0, failed: 1, skipped: 77 } as const;
/** What a guest may take that was begun when the time was up; it has a limit of its own. */
const PASS_MS = 600_000;
/** Of scripts/vm: its own limit would be too short beside other load. */
const GUEST_SECONDS = 400;
/** Characters of its output that are kept. */
const OUTPUT_MAX = 2 ** 20;

export class Guests implements Load {
  readonly ledger = new Ledger(0);
  readonly slots = 0;
  readonly unsureSlots = 0;
  readonly stopMs = PASS_MS;
  failure: unknown = null;
  readonly #uri: string;
  readonly #log: string;
  #child: ChildProcess | null = null;
  #stopping = false;
  #given = false;
  #passes: Promise<void> = Promise.resolve();
  #verified = 0;
  /** What the passes said that did not end well. */
  readonly #failed: string[] = [];
  #skipped: string | null = null;

  /** `log`: what guests say is appended here. */
  constructor(uri: string, log: string) {
    if (!existsSync(SCRIPT)) {
      throw new ExitError(EXIT.usage, `--guest: ${SCRIPT} is not there, allowed: in a checkout of zswapd`);
    }
    this.#uri = uri;
    this.#log = log;
  }

  start(): void {
    this.#passes = this.#run().catch((error: unknown) => {
      this.failure = error;
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#passes;
  }

  giveUp(): void {
    this.#given = true;
    this.#stopping = true;
    // It ends its own children.
    this.#child?.kill('SIGTERM');
  }

  flush(): Promise<boolean> {
    return Promise.resolve(true);
  }

  expectLoss(): void {}

  crashed(): void {}

  emptied(): void {}

  hangs(): string | null {
    return null;
  }

  readBack(): Promise<readonly number[]> {
    return Promise.resolve([]);
  }

  mend(): Promise<boolean> {
    return Promise.resolve(false);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  verifyImage(): number {
    return 0;
  }

  checks(): Check[] {
    const failed = this.#failed.length === 0 ? '' : `; ${this.#failed.length} failed: ${this.#failed[0]}`;
    const skipped = this.#skipped === null ? '' : `; skipped: ${this.#skipped}`;
    const text = `${this.#verified} guests verified all their memory${failed}${skipped}`;
    const value = this.#failed.length > 0 ? 'false' : this.#verified > 0 ? 'true' : 'unknown';
    return [check('guests verify their memory', value, text)];
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const began = performance.now();
      const { code, out } = await this.#pass();
      if (this.#given) return;
      const differing = Number(/(\d+) pages differ/.exec(out)?.[1] ?? 0);
      const said = /^vm\b.*?: (?:FAILED|skipped): (.*)$/m.exec(out)?.[1] ?? `scripts/vm ended with exit code ${code}`;
      if (code === VM.verified) {
        this.#verified++;
        this.ledger.ok('write', 0, began);
      } else if (code === VM.skipped) {
        this.#skipped = said;
        return;
      } else {
        this.#failed.push(said);
        for (let i = 0; i < differing; i++) {
          this.ledger.found({ kind: 'corrupt', slot: -1, sector: 0, text: `in a guest: ${said}` });
        }
      }
    }
  }

  #pass(): Promise<{ code: number | null; out: string }> {
    return new Promise((done, fail) => {
      let out = '';
      // Of a group of its own: Ctrl-C is for the soak, which lets the guest end.
      const child = spawn(SCRIPT, ['--uri', this.#uri, '--timeout', String(GUEST_SECONDS)], {
        stdio: ['ignore', 'pipe', 'ignore'],
        detached: true,
      });
      this.#child = child;
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out = (out + text).slice(-OUTPUT_MAX);
        appendFileSync(this.#log, text);
      });
      child.on('error', fail);
      child.on('close', (code) => {
        this.#child = null;
        done({ code, out });
      });
    });
  }
}
