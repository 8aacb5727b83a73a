/**
 * Connections in their handshake, which have chosen no export and so have no place (places.ts). They are bounded by themselves,
 * as many for each listener as it has places: whoever connects and says nothing takes no place from anybody. When they are
 * that many, the oldest makes room for the next, so that nobody has to wait for the deadline of silent ones.
 *
 * Kept by the main thread, which hears from the lanes when a connection has chosen or has ended.
 */

import { DROPPED_MAX } from '../config/descriptors.ts';

/** A handshake takes a few round trips: who is younger than this is not sent away, in milliseconds. */
export const HANDSHAKE_MS = 1000;

interface Handshake {
  readonly since: number;
  /** Ends the connection if it still has not chosen. */
  readonly drop: () => void;
}

export class Handshakes {
  private readonly max: number;
  private readonly now: () => number;
  /** By the number of the connection, the oldest first. */
  private readonly open = new Map<number, Handshake>();
  private readonly dropped = new Set<number>();

  /** Of one listener. `now`: milliseconds of a clock that does not jump. */
  constructor(max: number, now: () => number = () => performance.now()) {
    this.max = max;
    this.now = now;
  }

  /** Whether there is room for one more; if the oldest has to go for that, it goes. */
  makeRoom(): boolean {
    if (this.open.size < this.max) return true;
    if (this.dropped.size === DROPPED_MAX) return false;
    const [[connection, { since, drop }]] = this.open;
    if (this.now() - since < HANDSHAKE_MS) return false;
    this.open.delete(connection);
    this.dropped.add(connection);
    drop();
    return true;
  }

  began(connection: number, drop: () => void): void {
    this.open.set(connection, { since: this.now(), drop });
  }

  /** The connection has chosen its export, or has ended. */
  over(connection: number): void {
    this.open.delete(connection);
    this.dropped.delete(connection);
  }
}
