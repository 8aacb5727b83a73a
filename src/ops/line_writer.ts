// Writes lines to a descriptor without ever blocking or failing its caller: the destination of the log, and of ready lines.
// pino's own destination retries a full disk for ever when the process exits, and its flush does not wait.
// Invariants: at most MAX_QUEUED characters wait, and one line of ours beside them; one write is in flight; lines that are
// dropped are counted, and once a write succeeds again a line says how many they were.
import { write } from 'node:fs';
import { errorCode } from './exit_error.ts';

const MAX_QUEUED = 1024 * 1024;
/** A descriptor that somebody else made non-blocking is tried again after this time. */
const RETRY_MS = 20;

export class LineWriter {
  readonly #fd: number;
  readonly #report: ((dropped: number, total: number) => string) | null;
  #lines: string[] = [];
  #queued = 0;
  #dropped = 0;
  /** Of those, how many were said to be; and how many are said by a line that is on its way, else 0. */
  #reported = 0;
  #reporting = 0;
  #writing = false;
  #idle: (() => void)[] = [];

  /** `report`: the line that says that lines were dropped, how many since the last such line and in all; null: none. */
  constructor(fd: number, report: ((dropped: number, total: number) => string) | null) {
    this.#fd = fd;
    this.#report = report;
  }

  /** Lines that could not be written so far: the reader was too slow or gone, or the disk was full. */
  get dropped(): number {
    return this.#dropped;
  }

  write(line: string): void {
    if (this.#queued + line.length > MAX_QUEUED) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#queued += line.length;
    if (!this.#writing) this.#writeQueue();
  }

  /** Waits until nothing is left to write, which with a stuck reader may be never. */
  idle(): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Waits until nothing is left to write, or until the deadline: a stuck reader must not hold up a stop. */
  async flush(deadlineMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs);
    });
    await Promise.race([this.idle(), late]);
    clearTimeout(timer);
  }

  #writeQueue(): void {
    const lines = this.#lines;
    this.#lines = [];
    this.#writing = true;
    this.#writeBytes(Buffer.from(lines.join('')), lines.length);
  }

  #writeBytes(bytes: Buffer, lines: number): void {
    write(this.#fd, bytes, (error, written) => {
      if (error !== null && errorCode(error) === 'EAGAIN') {
        setTimeout(() => this.#writeBytes(bytes, lines), RETRY_MS);
        return;
      }
      // Any other error is about the only place it could be reported to; the lines are given up, later ones are tried.
      if (error !== null) {
        // The line that reports others is not one of them, and is made again.
        this.#dropped += lines - Number(this.#reporting > 0);
        this.#reporting = 0;
      } else if (written < bytes.length) {
        this.#writeBytes(bytes.subarray(written), lines);
        return;
      } else this.#reportDropped();
      this.#finishWrite();
    });
  }

  /** A write has succeeded, and the line that it may have had about others with it. */
  #reportDropped(): void {
    if (this.#reporting > 0) this.#reported = this.#reporting;
    this.#reporting = 0;
    if (this.#report === null || this.#dropped === this.#reported) return;
    this.#reporting = this.#dropped;
    this.#lines.push(this.#report(this.#dropped - this.#reported, this.#dropped));
  }

  #finishWrite(): void {
    this.#queued = this.#lines.reduce((sum, line) => sum + line.length, 0);
    if (this.#lines.length > 0) {
      this.#writeQueue();
      return;
    }
    this.#writing = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
