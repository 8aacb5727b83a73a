// Writes lines to a descriptor without ever blocking or failing its caller: the destination of the log.
// pino's own destination retries a full disk for ever when the process exits, and its flush does not wait.
// Invariant: at most MAX_QUEUED characters wait, one write is in flight, and lines that are dropped are counted.
import { write } from 'node:fs';
import { errorCode } from './exit_error.ts';

const MAX_QUEUED = 1024 * 1024;
/** A descriptor that somebody else made non-blocking is tried again after this time. */
const RETRY_MS = 20;

export class LineWriter {
  readonly #fd: number;
  #lines: string[] = [];
  #queued = 0;
  #dropped = 0;
  #writing = false;
  #idle: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
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

  /** Waits until nothing is left to write, or until the deadline: a stuck reader must not hold up a stop. */
  flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
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
      if (error !== null) this.#dropped += lines;
      else if (written < bytes.length) {
        this.#writeBytes(bytes.subarray(written), lines);
        return;
      }
      this.#finishWrite();
    });
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
