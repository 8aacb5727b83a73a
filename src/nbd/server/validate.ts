/**
 * The one check that every request passes before it has any effect: command, flags, permission, range, size.
 *
 * Offsets come as two 32-bit halves. Their sum as a JavaScript number is exact up to 2^53, and no export is larger, so
 * neither `offset + length` nor a rounding can wrap around.
 */
import type { ExportInfo } from '../export_info.ts';
import * as wire from '../wire.ts';
import type { Negotiated } from './handshake.ts';

/** Why a request is refused. */
interface Verdict {
  readonly error: number;
  readonly why: string;
}

/** Longest READ with DF, which must come as one chunk; the specification asks for at least 64 KiB. */
const MAX_DF_READ = 128 * 1024;

const verdict = (error: number, why: string): Verdict => ({ error, why });
const UNKNOWN_COMMAND = verdict(wire.NBD_EINVAL, 'command not supported by this export');
const BAD_FLAG = verdict(wire.NBD_EINVAL, 'flag not valid for this command');
const READ_ONLY = verdict(wire.NBD_EPERM, 'export is read-only');
const BEYOND_END = verdict(wire.NBD_EINVAL, 'range ends beyond the export');
const NO_SPACE = verdict(wire.NBD_ENOSPC, 'range ends beyond the export');
const TOO_LONG = verdict(wire.NBD_EINVAL, 'length exceeds the maximum block size');
const UNALIGNED = verdict(wire.NBD_EINVAL, 'range is not a multiple of the minimum block size');
const FLUSH_RANGE = verdict(wire.NBD_EINVAL, 'flush takes no range');
const NO_CONTEXT = verdict(wire.NBD_EINVAL, 'no metadata context was negotiated');
const EMPTY_STATUS = verdict(wire.NBD_EINVAL, 'block status of an empty range');
const DF_TOO_LONG = verdict(wire.NBD_EOVERFLOW, 'read is too long for one chunk');

/** What one connection may ask, worked out once when it enters transmission. */
export class Rules {
  readonly #size: number;
  readonly #minBlock: number;
  readonly #maxPayload: number;
  readonly #readOnly: boolean;
  readonly #baseAllocation: boolean;
  /** Flags allowed per command, -1 for a command that is not offered. */
  readonly #allowed: Int32Array;

  constructor(negotiated: Negotiated) {
    const info: ExportInfo = negotiated.export;
    this.#size = info.size;
    this.#minBlock = info.minBlock;
    this.#maxPayload = Math.min(info.maxBlock, wire.NBD_MAX_PAYLOAD);
    this.#readOnly = (info.flags & wire.NBD_FLAG_READ_ONLY) !== 0;
    this.#baseAllocation = negotiated.baseAllocation;
    const has = (flag: number): boolean => (info.flags & flag) !== 0;
    // FUA is valid on every command once it is offered at all.
    const fua = has(wire.NBD_FLAG_SEND_FUA) ? wire.NBD_CMD_FLAG_FUA : 0;
    const fast = has(wire.NBD_FLAG_SEND_FAST_ZERO) ? wire.NBD_CMD_FLAG_FAST_ZERO : 0;
    const allowed = new Int32Array(8).fill(-1);
    allowed[wire.NBD_CMD_READ] = fua | (negotiated.structured ? wire.NBD_CMD_FLAG_DF : 0);
    allowed[wire.NBD_CMD_WRITE] = fua;
    if (has(wire.NBD_FLAG_SEND_FLUSH)) allowed[wire.NBD_CMD_FLUSH] = fua;
    if (has(wire.NBD_FLAG_SEND_TRIM)) allowed[wire.NBD_CMD_TRIM] = fua;
    if (has(wire.NBD_FLAG_SEND_CACHE)) allowed[wire.NBD_CMD_CACHE] = fua;
    if (has(wire.NBD_FLAG_SEND_WRITE_ZEROES)) {
      allowed[wire.NBD_CMD_WRITE_ZEROES] = fua | fast | wire.NBD_CMD_FLAG_NO_HOLE;
    }
    allowed[wire.NBD_CMD_BLOCK_STATUS] = fua | wire.NBD_CMD_FLAG_REQ_ONE;
    this.#allowed = allowed;
  }

  /** Null if the request may go on. DISC never comes here. */
  check(type: number, flags: number, offset: number, length: number): Verdict | null {
    const modifies = type === wire.NBD_CMD_WRITE || type === wire.NBD_CMD_TRIM || type === wire.NBD_CMD_WRITE_ZEROES;
    if (modifies && this.#readOnly) return READ_ONLY;
    const allowed = type < 8 ? this.#allowed[type] : -1;
    if (allowed === -1) return UNKNOWN_COMMAND;
    if ((flags & ~allowed) !== 0) return BAD_FLAG;
    if (type === wire.NBD_CMD_FLUSH) return offset === 0 && length === 0 ? null : FLUSH_RANGE;
    if (type === wire.NBD_CMD_BLOCK_STATUS) {
      if (!this.#baseAllocation) return NO_CONTEXT;
      if (length === 0) return EMPTY_STATUS;
    }
    if ((type === wire.NBD_CMD_READ || type === wire.NBD_CMD_WRITE) && length > this.#maxPayload) return TOO_LONG;
    if (offset > this.#size - length) {
      return type === wire.NBD_CMD_WRITE || type === wire.NBD_CMD_WRITE_ZEROES ? NO_SPACE : BEYOND_END;
    }
    if (this.#minBlock > 1 && (offset % this.#minBlock !== 0 || length % this.#minBlock !== 0)) return UNALIGNED;
    if ((flags & wire.NBD_CMD_FLAG_DF) !== 0 && length > MAX_DF_READ) return DF_TOO_LONG;
    return null;
  }
}

const WIRE_ERRORS: ReadonlySet<number> = new Set([
  wire.NBD_EPERM,
  wire.NBD_EIO,
  wire.NBD_ENOMEM,
  wire.NBD_EINVAL,
  wire.NBD_ENOSPC,
  wire.NBD_EOVERFLOW,
  wire.NBD_ENOTSUP,
  wire.NBD_ESHUTDOWN,
]);

/** The error as it may appear on the wire: a device's own errno that the protocol lacks becomes EIO. */
export function wireError(error: number): number {
  return WIRE_ERRORS.has(error) ? error : wire.NBD_EIO;
}
