/**
 * TRIM and WRITE_ZEROES of one connection that its device has not settled, and what has to wait for them.
 *
 * A device works on a range in parts, over as many turns as it needs, while a block of a WRITE is done when it is handed over.
 * So without this a WRITE would be overtaken by the range in front of it, though it was answered later:
 *   1. a range is begun   2. a WRITE of one of its blocks is stored, and answered   3. the range gets to that block
 *
 * Whatever touches the bytes of such a range stays in the inbox, and what its connection has sent behind that with it, until the
 * range is settled: WRITE, READ, which would else be answered with bytes that are older than what it was sent behind, and
 * further ranges. One that touches none of them is begun at once. Swap never has two such requests under way: a slot is free, or
 * discarded, before it is used again.
 *
 * The list is bounded by the requests in flight, and costs who finds it empty one comparison.
 */
import * as wire from '../wire.ts';
import type { Request } from './request.ts';

export class RangeOrder {
  readonly #begun: Request[] = [];

  get empty(): boolean {
    return this.#begun.length === 0;
  }

  begin(range: Request): void {
    this.#begun.push(range);
  }

  /** The device has settled a request; of others than ranges nothing is known here. */
  end(request: Request): void {
    const at = this.#begun.indexOf(request);
    if (at >= 0) this.#begun.splice(at, 1);
  }

  /** Whether the request whose header is at `at` has to wait. */
  holds(view: DataView, at: number): boolean {
    // Bytes that are no request end the connection, which waits for nothing.
    if (view.getUint32(at) !== wire.NBD_REQUEST_MAGIC || !touchesBytes(view.getUint16(at + 6))) return false;
    const offset = view.getUint32(at + 16) * 0x1_0000_0000 + view.getUint32(at + 20);
    const end = offset + view.getUint32(at + 24);
    return this.#begun.some((range) => offset < range.offset + range.length && range.offset < end);
  }
}

function touchesBytes(type: number): boolean {
  return (
    type === wire.NBD_CMD_WRITE ||
    type === wire.NBD_CMD_READ ||
    type === wire.NBD_CMD_TRIM ||
    type === wire.NBD_CMD_WRITE_ZEROES
  );
}
