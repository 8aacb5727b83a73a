/**
 * BLOCK_STATUS for base:allocation: runs of blocks as the device tells them, equal neighbours merged.
 *
 * Invariants: at least one extent; none reaches beyond the request; at most MAX_EXTENTS of them, found with at most
 * MAX_RUNS questions about MAX_SCAN blocks, so that the answer's cost is bounded (a client asks again behind the last
 * extent). Lengths are
 * JavaScript numbers, so a request of 2^32 - 1 bytes that is rounded to blocks stays what it is (CVE-2025-47711, -47712).
 */

import * as wire from '../wire.ts';
import type { Device, DeviceExtent } from './device.ts';
import { extentAt } from './extents.ts';
import { BASE_ALLOCATION_ID } from './handshake.ts';
import type { Replies } from './replies.ts';
import { PHASE_STATUS, type Request } from './request.ts';
import type { TurnBudget } from './turn_budget.ts';

const MAX_EXTENTS = 4096;
const MAX_RUNS = 8192;
/** Blocks that one answer looks at: 1 GiB, with blocks of 4 KiB. */
const MAX_SCAN = 2 ** 18;

const HEAD_BYTES = wire.NBD_STRUCTURED_REPLY_BYTES + 4;
const extent: DeviceExtent = { end: 0, status: 0 };

/** What is said for a device that tells nothing of its blocks, which is always a safe answer. */
function data(end: number): DeviceExtent {
  extent.end = end;
  extent.status = 0;
  return extent;
}

/** Writes the whole reply. False if there is no room. */
export function blockStatus(device: Device, replies: Replies, request: Request, budget: TurnBudget): boolean {
  request.phase = PHASE_STATUS;
  const outbox = replies.outbox;
  const limit = (request.flags & wire.NBD_CMD_FLAG_REQ_ONE) !== 0 ? 1 : MAX_EXTENTS;
  if (!outbox.reserve(HEAD_BYTES + 8 * limit)) return false;
  const size = device.blockSize;
  const firstBlock = Math.floor(request.offset / size);
  const end = Math.min(request.offset + request.length, (firstBlock + MAX_SCAN) * size);
  const endBlock = Math.ceil(end / size);
  const view = outbox.view;
  const first = outbox.at + HEAD_BYTES;
  let at = first;
  let from = request.offset;
  let block = firstBlock;
  let runs = 0;
  let status = -1;
  while (block < endBlock && runs < MAX_RUNS) {
    const run = device.extent === undefined ? data(endBlock) : extentAt(device, block, endBlock, extent);
    runs++;
    block = run.end;
    const to = Math.min(block * size, end);
    if (run.status === status) {
      view.setUint32(at - 8, view.getUint32(at - 8) + (to - from));
    } else {
      if ((at - first) / 8 === limit) break;
      status = run.status;
      view.setUint32(at, to - from);
      view.setUint32(at + 4, status);
      at += 8;
    }
    from = to;
  }
  budget.scanned(block - firstBlock, runs);
  replies.chunk(request, wire.NBD_REPLY_TYPE_BLOCK_STATUS, true, 4 + (at - first));
  view.setUint32(outbox.at, BASE_ALLOCATION_ID);
  outbox.at = at;
  return true;
}
