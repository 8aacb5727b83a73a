/**
 * What a service manager is told (sd_notify): datagrams to the socket that NOTIFY_SOCKET names, none without it.
 *
 * A stop lasts as long as the images take, so the manager is asked for more time as long as it moves, and no longer: a drain
 * that stands still is for the operator's own limit (TimeoutStopSec) to judge.
 *
 * A watchdog (WatchdogSec) is told from the main thread's loop, until the process ends: what it finds is a main thread that
 * does not come round any more. Another thread's end stops the process by itself.
 */
import { EAGAIN, errnoName } from '../os/errno.ts';
import { sendUnixDatagram } from '../os/unix_address.ts';
import type { Supervision } from './supervision.ts';

/** A manager that has heard nothing for so long may end us. Longer than any one call on a working image takes. */
const EXTEND_US = 60_000_000;
/** A manager hears many services, so its socket may be full for a moment; READY must not be lost over that. */
const RETRY_MS = 50;
/** Messages kept until then. Beyond it the newest takes the place of the one before: a status is outdated by the next. */
const PENDING_MAX = 16;

const WATCHDOG = 'WATCHDOG=1';
/** A timer of Node's that is longer would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** How often the watchdog of this process is told that we run, half of what it waits; null where it has none. */
export function watchdogMs(
  { WATCHDOG_USEC, WATCHDOG_PID }: NodeJS.ProcessEnv,
  pid: number,
  warn: (line: string) => void,
): number | null {
  if (WATCHDOG_USEC === undefined || (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== pid)) return null;
  const time = /^\d+$/.test(WATCHDOG_USEC) ? Number(WATCHDOG_USEC) : 0;
  if (time > 0) return Math.min(TIMER_MS_MAX, Math.max(1, Math.floor(time / 2000)));
  warn(`WATCHDOG_USEC: ${WATCHDOG_USEC} is no number of microseconds, the watchdog is told nothing`);
  return null;
}

export class ServiceManager {
  private readonly address: string | undefined;
  private readonly warn: (line: string) => void;
  readonly supervision: Supervision | null;
  private failed = false;
  private readonly pending: string[] = [];
  private retry: NodeJS.Timeout | null = null;

  /**
   * `address`: the value of NOTIFY_SOCKET. `warn` is told once when it can't be reached. A supervisor takes all messages in its
   * place, and says what is right to a service manager of its own.
   */
  constructor(address: string | undefined, warn: (line: string) => void, supervision: Supervision | null = null) {
    this.address = address === '' ? undefined : address;
    this.warn = warn;
    this.supervision = supervision;
  }

  ready(status: string): void {
    this.notify('READY=1', `STATUS=${status}`);
  }

  stopping(status: string): void {
    this.notify('STOPPING=1', `STATUS=${status}`, `EXTEND_TIMEOUT_USEC=${EXTEND_US}`);
  }

  /** The stop has moved on. */
  moved(): void {
    this.notify(`EXTEND_TIMEOUT_USEC=${EXTEND_US}`);
  }

  status(status: string): void {
    this.notify(`STATUS=${status}`);
  }

  /** From now on the watchdog hears every `ms` that the loop of this thread runs. Keeps no process alive. */
  watchdog(ms: number | null): void {
    if (ms === null || (this.address === undefined && this.supervision === null)) return;
    setInterval(() => {
      // One that waits says as much, and takes nobody's place.
      if (this.pending.length < PENDING_MAX && !this.pending.includes(WATCHDOG)) this.notify(WATCHDOG);
    }, ms).unref();
  }

  private notify(...lines: string[]): void {
    this.pass(lines.join('\n'));
  }

  /** A message as it is. */
  pass(message: string): void {
    if (this.supervision !== null) {
      this.supervision.tell(message);
      return;
    }
    if (this.address === undefined) return;
    if (this.pending.length === PENDING_MAX) this.pending.pop();
    this.pending.push(message);
    if (this.retry === null) this.send(this.address);
  }

  private send(address: string): void {
    this.retry = null;
    while (this.pending.length > 0) {
      const result = sendUnixDatagram(address, Buffer.from(this.pending[0]));
      if (result === -EAGAIN) {
        this.retry = setTimeout(() => this.send(address), RETRY_MS);
        return;
      }
      this.pending.shift();
      if (result < 0 && !this.failed) {
        this.failed = true;
        this.warn(`NOTIFY_SOCKET: can't be told anything (${errnoName(result)}): ${address}`);
      }
    }
  }
}
