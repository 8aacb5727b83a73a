/** What a connection is made from, and how long it waits for its client. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ExportInfo } from '../export_info.ts';
import type { ConnectionCounters } from './counters.ts';
import type { ConnectionFence, Device } from './device.ts';
import type { LookAhead } from './look_ahead.ts';
import type { ReplyMishaps } from './mishaps.ts';

/** Deadline for the handshake unless another one is given. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** How long a handshake may take yet at a stop that hangs up. */
export const LAST_HANDSHAKE_MS = 2000;
/** How long a finished connection waits for its client to take the last replies, and a stop for what a client owes. */
export const LINGER_MS = 10_000;

export interface ConnectionOptions {
  /** An open descriptor that the connection takes over. One of this, `socket` and `stream`. */
  readonly fd?: number;
  /** A socket accepted with `pauseOnConnect`, of which no byte was read. It is of no use to its owner afterwards. */
  readonly socket?: Socket;
  /** Anything else that carries bytes both ways. It is destroyed at the end. */
  readonly stream?: Duplex;
  readonly exports: readonly ExportInfo[];
  /**
   * Finds the device of the export that a client chose, before it is told that it has it. An error thrown here is the answer:
   * NBD_REP_ERR_POLICY with its message, and the client may choose again. EXPORT_NAME has no such reply: the connection ends.
   */
  readonly device: (info: ExportInfo) => Device;
  /** How to learn that the peer has ended; null if there is no way. */
  readonly fence: ConnectionFence | null;
  /** For a `socket`: how to learn of its end while the connection takes no bytes, where `fence` is no more than that. */
  readonly ahead?: LookAhead;
  /** Whether the server is stopping: the handshake refuses, and requests are answered with ESHUTDOWN. */
  readonly stopping?: () => boolean;
  /**
   * At a stop, requests that have not begun get no answer instead of ESHUTDOWN, which a kernel takes for a broken disk: the
   * connection ends, and its client connects again and sends them once more. Handshakes come to their end before that, within
   * LAST_HANDSHAKE_MS: a client that is told no gives up, and one that has its export connects again. For a server that somebody starts again.
   */
  readonly hangsUp?: boolean;
  readonly listing?: boolean;
  readonly handshakeTimeoutMs?: number;
  /** How long `stop` waits for what the client owes; LINGER_MS unless given. */
  readonly stopTimeoutMs?: number;
  readonly counters?: ConnectionCounters;
  /** For tests: what goes wrong with replies on purpose (mishaps.ts). */
  readonly mishaps?: ReplyMishaps;
  /** Called once, when the socket is closed and the device has settled everything. */
  readonly onEnd?: () => void;
}
