/** The faults of replies: from a plan to the hook of the NBD package (nbd/server/mishaps.ts), for one connection. */
import {
  type Connection,
  type Mishap,
  NBD_CMD_BLOCK_STATUS,
  NBD_CMD_CACHE,
  NBD_CMD_FLUSH,
  NBD_CMD_READ,
  NBD_CMD_TRIM,
  NBD_CMD_WRITE,
  NBD_CMD_WRITE_ZEROES,
  NBD_EIO,
  type ReplyMishaps,
  type ReplyRequest,
} from 'node-nbd-server';
import type { Gate, Injection } from '../faults/gate.ts';
import { shutdownWrites } from '../os/syscalls.ts';
import { PAGE_SIZE } from '../pool/limits.ts';

/** As plans call them (config/fault_schema.ts). */
const COMMANDS: Readonly<Record<number, string>> = {
  [NBD_CMD_READ]: 'read',
  [NBD_CMD_WRITE]: 'write',
  [NBD_CMD_TRIM]: 'trim',
  [NBD_CMD_WRITE_ZEROES]: 'zero',
  [NBD_CMD_FLUSH]: 'flush',
  [NBD_CMD_CACHE]: 'cache',
  [NBD_CMD_BLOCK_STATUS]: 'status',
};
/** Of a header that is cut: the rest comes in a packet of its own. */
const SPLIT_MS = 1;

/** One connection of a lane. */
export class WireFaults {
  readonly mishaps: ReplyMishaps = { next: null };
  /** Of its export; -1 until its client has chosen one. */
  x = -1;
  connection: Connection | null = null;
  private readonly number: number;
  private readonly fd: number;

  constructor(number: number, fd: number) {
    this.number = number;
    this.fd = fd;
  }

  apply(gate: Gate | null): void {
    const asks = gate?.names('wire.reply') === true;
    this.mishaps.next = asks ? (request) => this.next(gate, request) : null;
  }

  private next(gate: Gate, { type, offset, length }: ReplyRequest): Mishap | null {
    const [injection] = gate.reach('wire.reply', {
      x: this.x,
      slot: Math.floor(offset / PAGE_SIZE),
      count: Math.max(1, Math.ceil((offset + length) / PAGE_SIZE) - Math.floor(offset / PAGE_SIZE)),
      connection: this.number,
      command: COMMANDS[type] ?? 'other',
    });
    return injection === undefined ? null : this.mishap(injection);
  }

  private mishap(injection: Injection): Mishap | null {
    switch (injection.action) {
      case 'error':
        return { kind: 'error', error: NBD_EIO };
      case 'delay':
        return { kind: 'delay', ms: injection.extra('delay') };
      case 'reorder':
        return { kind: 'behind', ms: injection.extra('delay') };
      case 'stall':
        return { kind: 'cut', where: 'middle', ms: injection.extra('stall') };
      case 'split':
        return { kind: 'cut', where: 'header', ms: SPLIT_MS };
      case 'cookie':
        return { kind: 'cookie' };
      case 'duplicate':
        return { kind: 'twice' };
      case 'half-close':
        shutdownWrites(this.fd);
        return null;
      default:
        // In a turn of its own: the transmission is in the middle of something.
        setImmediate(() => this.connection?.destroy());
        return { kind: 'never' };
    }
  }
}
