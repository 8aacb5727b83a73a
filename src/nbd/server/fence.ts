/**
 * What the rest of a connection's bytes holds once its peer has ended.
 *
 * Linux re-sends a timed-out WRITE over another socket, so a WRITE of an ended connection may be older than what the
 * export holds by now. It is dropped, unless the client left on purpose: then its last request is DISC, and everything
 * before that has to be done.
 */

import * as wire from '../wire.ts';
import type { ConnectionFence } from './device.ts';
import type { Inbox } from './inbox.ts';

/**
 * Bytes that are looked at in the kernel's buffer; what reaches further counts as not ending in DISC. A TCP socket has up
 * to 6 MiB there as Linux comes (tcp_rmem), a unix socket some 200 KiB.
 */
const MAX_PEEK = 8 * 1024 * 1024;
const FIRST_PEEK = 512 * 1024;
/** Bytes that lie here for longer may be of requests that their client has given up: timeouts of Linux are in seconds. */
export const STALE_AFTER_MS = 500;

/**
 * A connection's fence until its descriptor is closed. The number may be another connection's from then on, so nothing
 * reaches it any more, whoever still asks: the peer is gone, and there is nothing to read.
 */
export class OpenFence implements ConnectionFence {
  #fence: ConnectionFence | null;

  constructor(fence: ConnectionFence) {
    this.#fence = fence;
  }

  peerClosed(): boolean {
    return this.#fence === null || this.#fence.peerClosed();
  }

  peek(into: Uint8Array): number {
    return this.#fence === null ? 0 : this.#fence.peek(into);
  }

  /** Whether the peer's end can stand behind bytes that have no room yet. */
  get hidesEnd(): boolean {
    return this.#fence?.receive !== undefined;
  }

  /** Takes what the kernel has into the inbox, as far as that has room, unless the peer is gone; returns the bytes. */
  takeInto(inbox: Inbox): number {
    const fence = this.#fence;
    if (fence?.receive === undefined || fence.peerClosed()) return 0;
    return inbox.fill((into) => fence.receive!(into));
  }

  /** To be called before the descriptor is closed. */
  close(): void {
    this.#fence = null;
  }
}

interface Rest {
  /** Whether whole requests follow one another up to a DISC. */
  readonly endsInDisc: boolean;
  /** Blocks of WRITE payload among the bytes, whole or cut. */
  readonly units: number;
}

/**
 * Walks the requests in `bytes`. The first `missing` bytes are the remaining payload of a WRITE that has begun.
 */
function walkRest(bytes: Uint8Array, missing: number, blockSize: number): Rest {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let units = Math.ceil(Math.min(missing, bytes.length) / blockSize);
  let at = missing;
  while (at + wire.NBD_REQUEST_BYTES <= bytes.length) {
    if (view.getUint32(at) !== wire.NBD_REQUEST_MAGIC) return { endsInDisc: false, units };
    const type = view.getUint16(at + 6);
    if (type === wire.NBD_CMD_DISC) return { endsInDisc: true, units };
    const length = view.getUint32(at + 24);
    at += wire.NBD_REQUEST_BYTES;
    if (type === wire.NBD_CMD_WRITE) {
      units += Math.ceil(Math.min(length, bytes.length - at) / blockSize);
      at += length;
    }
  }
  return { endsInDisc: false, units };
}

/** A copy of `here` and, behind it, what lies unread in the kernel, up to MAX_PEEK. */
function withUnread(here: Uint8Array, fence: ConnectionFence): Uint8Array {
  for (let room = FIRST_PEEK; ; room *= 2) {
    const all = Buffer.allocUnsafeSlow(here.length + room);
    const peeked = Math.max(0, fence.peek(all.subarray(here.length)));
    if (peeked === room && room < MAX_PEEK) continue;
    all.set(here);
    return all.subarray(0, here.length + peeked);
  }
}

/** The state of one connection's peer. */
export class PeerFence {
  /** While this connection may hold bytes that are old, the peer is asked for before each request and each block, too. */
  behind = false;
  /** The client said, or is known to say, DISC: everything before that is done. */
  promised = false;

  readonly #fence: ConnectionFence | null;
  readonly #inbox: Inbox;
  readonly #stopReading: () => void;

  constructor(fence: ConnectionFence | null, inbox: Inbox, stopReading: () => void) {
    this.#fence = fence;
    this.#inbox = inbox;
    this.#stopReading = stopReading;
  }

  /** Whether the peer has ended without a promise. `missing` is the payload still to come of the WRITE that has begun. */
  gone(missing: number): boolean {
    if (this.promised || this.#fence === null || !this.#fence.peerClosed()) return false;
    return !this.promise(missing);
  }

  /** The peer has ended: looks for a DISC in what it left behind, and keeps that if there is one. */
  promise(missing: number): boolean {
    if (this.promised) return true;
    const inbox = this.#inbox;
    const here = inbox.bytes.subarray(inbox.start, inbox.end);
    if (walkRest(here, missing, 1).endsInDisc) {
      this.promised = true;
    } else if (this.#fence !== null) {
      const all = withUnread(here, this.#fence);
      if (all.length > here.length && walkRest(all, missing, 1).endsInDisc) {
        this.promised = true;
        this.#stopReading();
        inbox.replace(all);
      }
    }
    return this.promised;
  }

  /** Units that are dropped with the connection. */
  units(missing: number, blockSize: number): number {
    const { bytes, start, end } = this.#inbox;
    return walkRest(bytes.subarray(start, end), missing, blockSize).units;
  }
}
