/** Whether a device has what its export's flags promise, found out before the first request and not in the middle of one. */

import type { ExportInfo } from '../export_info.ts';
import * as wire from '../wire.ts';
import type { ByteDevice } from './byte_device.ts';
import type { Device } from './device.ts';
import { MAX_BLOCK_SIZE } from './inbox.ts';

const NEEDED: readonly (readonly [flag: number, name: string, method: keyof Device])[] = [
  [wire.NBD_FLAG_SEND_FLUSH, 'SEND_FLUSH', 'flush'],
  [wire.NBD_FLAG_SEND_FUA, 'SEND_FUA', 'persist'],
  [wire.NBD_FLAG_SEND_TRIM, 'SEND_TRIM', 'trim'],
  [wire.NBD_FLAG_SEND_WRITE_ZEROES, 'SEND_WRITE_ZEROES', 'zero'],
  [wire.NBD_FLAG_SEND_FAST_ZERO, 'SEND_FAST_ZERO', 'zero'],
];

/**
 * A `Device` says in `info` what it exports. A device by bytes has a size of its own, and may be an instance of a class that
 * has something else by that name, such as a method, or what its file system tells of its file.
 */
export function isByBlocks(device: Device | ByteDevice): device is Device {
  const info: unknown = device.info;
  if (typeof info !== 'object' || info === null) return false;
  return !('size' in device) || ('size' in info && 'flags' in info);
}

/** Throws RangeError if the device can't keep what its `info` says. */
export function checkDevice(device: Device): void {
  const { info, blockSize } = device;
  const complain = (why: string): never => {
    throw new RangeError(`device of export ${JSON.stringify(info.name)}: ${why}`);
  };
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 1 || blockSize > MAX_BLOCK_SIZE) {
    complain(`blockSize is ${blockSize}, and has to be a power of two up to ${MAX_BLOCK_SIZE}`);
  }
  for (const [flag, name, method] of NEEDED) {
    if ((info.flags & flag) !== 0 && device[method] === undefined) complain(`${name} is offered without ${method}`);
  }
  if (device.readNow === undefined && device.read === undefined) complain('it has neither readNow nor read');
  if ((info.flags & wire.NBD_FLAG_READ_ONLY) !== 0) return;
  if (device.writeThrough === true && device.persist === undefined) complain('it is writeThrough without persist');
  if (device.write === undefined) complain('it has no write, and the export is not READ_ONLY');
  const parts = info.minBlock % blockSize !== 0 || info.size % blockSize !== 0;
  if (parts && device.writePart === undefined) {
    complain('it has no writePart, and minBlock or size is no multiple of the block size');
  }
}

/** Finds the device of an export and hands it on; what is thrown on the way is why a client can't have it. */
export function openDevice(
  find: (info: ExportInfo) => Device,
  found: (device: Device) => void,
): (info: ExportInfo) => string | null {
  return (info) => {
    try {
      const device = find(info);
      checkDevice(device);
      found(device);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
}
