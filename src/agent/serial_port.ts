// A virtio-serial port as a stream, without a thread that waits in read(): the port is asked again and again while an answer is due.
import { close, constants, openSync, readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { codeOf } from './problem.ts';

/** How often the port is looked at: soon after something was written, then less and less. */
const LOOK_MS = 1;
const LOOK_MAX_MS = 64;
const READ_BYTES = 65_536;

/** What Node's HTTP client calls on sockets and streams do not have. */
class SerialPort extends Duplex {
  private readonly fd: number;
  private timer: NodeJS.Timeout | undefined;
  private lookMs = LOOK_MS;
  private readonly bytes = Buffer.alloc(READ_BYTES);

  constructor(path: string) {
    super({ allowHalfOpen: false });
    this.fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    // What was said to whoever had the port before us is not for us.
    while (this.readNow() > 0);
  }

  /** 0: nothing is there, or nobody is at the other end. */
  private readNow(): number {
    try {
      return readSync(this.fd, this.bytes, 0, READ_BYTES, null);
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') return 0;
      throw error;
    }
  }

  override _read(): void {
    clearTimeout(this.timer);
    try {
      const length = this.readNow();
      if (length > 0) {
        this.push(Buffer.from(this.bytes.subarray(0, length)));
        return;
      }
      this.timer = setTimeout(() => this._read(), this.lookMs);
      this.lookMs = Math.min(2 * this.lookMs, LOOK_MAX_MS);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    let rest = chunk;
    this.lookMs = LOOK_MS;
    const step = (): void => {
      if (this.destroyed) return;
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN') {
          done(error as Error);
          return;
        }
      }
      if (rest.length === 0) {
        this._read();
        done();
      } else setTimeout(step, LOOK_MS);
    };
    step();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.timer);
    close(this.fd, (failed) => done(error ?? failed));
  }

  setTimeout(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    this.timer?.ref();
    return this;
  }

  unref(): this {
    this.timer?.unref();
    return this;
  }
}

export function openPort(path: string): Duplex {
  return new SerialPort(path);
}
