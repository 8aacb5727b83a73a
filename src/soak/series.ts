/**
 * The time series: a JSON object per line, each written before the next thing happens, so that it is whole up to the moment at
 * which the soak, or the machine, ended. A disk that fills up ends the series at a whole line, and the soak goes on.
 *
 * Bound: SERIES_MAX bytes on the disk; rows that come later are counted and left out.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { errorText } from '../os/exit_error.ts';

const SERIES_MAX = 2 ** 30;

export class Series {
  readonly path: string;
  /** Why it ended before the run did. */
  failure: string | null = null;
  leftOut = 0;
  readonly #fd: number;
  readonly #tell: (line: string) => void;
  #bytes = 0;

  /** `tell` gets one line when it can't go on. Throws where the file can't be made; one that is there stays. */
  constructor(path: string, tell: (line: string) => void) {
    this.path = path;
    this.#fd = openSync(path, 'wx', 0o600);
    this.#tell = tell;
  }

  add(row: object): void {
    const bytes = Buffer.from(`${JSON.stringify(row)}\n`);
    if (this.failure === null && this.#bytes + bytes.length > SERIES_MAX) {
      this.#fail(`has reached ${SERIES_MAX} bytes`);
    }
    if (this.failure !== null) {
      this.leftOut++;
      return;
    }
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#bytes + done);
      }
      this.#bytes += bytes.length;
    } catch (error) {
      this.leftOut++;
      this.#fail(errorText(error));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #fail(why: string): void {
    this.failure = why;
    // The part of a line that went out is taken back.
    ftruncateSync(this.#fd, this.#bytes);
    this.#tell(`${this.path}: the time series ends here, with whole lines, and the soak goes on: ${why}`);
  }
}
