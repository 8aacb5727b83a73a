/**
 * What a server needs of whoever holds the bytes: a device of fixed-size blocks, driven one block at a time.
 *
 * The transmission phase calls a device synchronously on the hot path: no promise, no allocation per block. A call that
 * can't finish at once says so by its result, and the request comes back to life through `settle` or `resume`.
 */
import type { ExportInfo } from '../export_info.ts';

/** The block is done: a WRITE may be answered, as far as this block goes. */
export const OK = 0;
/** Nothing was taken and nothing happened: call again, with the same arguments, after `resume`. */
export const WAIT = -1;
/** The device has copied what it needs and will call `settle` exactly once for this call. */
export const TAKEN = -2;

/** A request as its device sees it. */
export interface DeviceRequest {
  /**
   * True once the connection ended, asked before each unit (a block, a slice) takes effect: a unit that was not yet
   * published must then be dropped, because the client may have sent newer data over another connection. A device that
   * serves several connections at once asks when it holds the blocks, so that newer data can only come after the answer.
   */
  fenced(): boolean;
  /** Ends one TAKEN call, or a read, trim, zero, flush or persist: 0, or an NBD error. Never called synchronously from it. */
  settle(error: number): void;
  /** Ends a WAIT: the engine repeats the call soon. May be called more than once, and spuriously. */
  resume(): void;
}

/** The request as the engine hands it over: also what it is a part of. */
export interface ConnectionRequest extends DeviceRequest {
  /** Bytes [offset, offset + length) of the export are what the whole request is about. */
  readonly offset: number;
  readonly length: number;
  /** Aborts when the connection has ended, however it did. Made when it is first asked for. */
  readonly signal: AbortSignal;
}

/** A run of blocks with one allocation status. */
export interface DeviceExtent {
  /** First block after the run. */
  end: number;
  /** NBD_STATE_HOLE, NBD_STATE_ZERO, both or 0. */
  status: number;
}

/**
 * What is optional may be left out where the export's flags do not offer it (`checkDevice` says what is missing).
 *
 * A method must not throw. What it throws is an uncaught exception of the process: nobody knows what has become of the
 * block. A call that never settles keeps its request waiting, and holds its connection's memory after the end of that.
 */
export interface Device {
  readonly info: ExportInfo;
  /**
   * Bytes per block, a power of two. Where the export's size is no multiple of it, the last block is read as a whole one,
   * of which nothing beyond the end is sent, and written by `writePart`.
   */
  readonly blockSize: number;
  /**
   * A TRIM or WRITE_ZEROES that is not settled comes before the changes that its connection sends after it, also if the device is
   * asked for them while it still works on the range; READs it answers as it likes. Without it, what touches the same bytes is asked for only when the range is settled.
   */
  readonly keepsOrder?: boolean;
  /** Every change is made durable before its answer, as if each request had FUA: for clients that never ask. Needs `persist`. */
  readonly writeThrough?: boolean;
  /** Stores one whole block from src[at..]. OK, an NBD error, WAIT or TAKEN. Not needed for READ_ONLY. */
  write?(request: ConnectionRequest, block: number, src: Uint8Array, at: number): number;
  /** Stores `length` bytes at `within` of a block. OK, an NBD error, WAIT or TAKEN. Not needed where minBlock allows no parts. */
  writePart?(
    request: ConnectionRequest,
    block: number,
    within: number,
    length: number,
    src: Uint8Array,
    at: number,
  ): number;
  /** Copies blocks into dst[at..] as far as that needs no waiting; returns how many. Reports no error: `read` does. */
  readNow?(block: number, count: number, dst: Uint8Array, at: number): number;
  /**
   * Fills dst[at..] with `count` blocks and settles. `dst` stays valid and untouched until then. Without it, what `readNow`
   * does not have is EIO.
   */
  read?(request: ConnectionRequest, block: number, count: number, dst: Uint8Array, at: number): void;
  /** Discards bytes [offset, offset + length), rounded inward to blocks, and settles. */
  trim?(request: ConnectionRequest, offset: number, length: number): void;
  /**
   * Makes bytes [offset, offset + length) zero and settles; `noHole` asks for provisioned space. `fast`, which comes only if
   * SEND_FAST_ZERO was advertised, asks for NBD_ENOTSUP at once where it would take as long as to write zeros.
   */
  zero?(request: ConnectionRequest, offset: number, length: number, noHole: boolean, fast: boolean): void;
  /** Settles once everything answered before is durable. Called only if SEND_FLUSH was advertised. */
  flush?(request: ConnectionRequest): void;
  /** Settles once bytes [offset, offset + length), already written, are durable. Called only if SEND_FUA was advertised. */
  persist?(request: ConnectionRequest, offset: number, length: number): void;
  /** The run that starts at `block`, cut at `end`. Fills and returns `into`. Without it all blocks are data. */
  extent?(block: number, end: number, into: DeviceExtent): DeviceExtent;
  /**
   * The connection ended while a `write` or `writePart` of this request waited, or it has to look for its peer's end before it
   * can repeat the call: give back what it holds. In the second case the call comes again, as if it came first.
   */
  cancel?(request: ConnectionRequest): void;
}

/** How a connection learns that its peer has ended, without reading. All are called only by a lane that fell behind. */
export interface ConnectionFence {
  /** True once the peer has shut its side down, even while data is unread. */
  peerClosed(): boolean;
  /** Copies what is unread in the kernel into `into` and leaves it there; returns the bytes, or a negative number. */
  peek(into: Uint8Array): number;
  /**
   * Takes bytes from the kernel, for a socket that is paused; returns how many, or what is not positive for none. Only for
   * a transport on which the end of a peer can stand behind bytes for which there was no room, such as TCP.
   */
  receive?(into: Uint8Array): number;
}
