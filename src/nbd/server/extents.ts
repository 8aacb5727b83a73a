/** What a device says of a run of blocks, looked at before it is told to a client. */
import type { Device, DeviceExtent } from './device.ts';

/**
 * The run that begins at `block`. One without a block would be a chunk of nothing on the wire, after which Linux and QEMU give
 * up the connection: the device is wrong, and is told so.
 */
export function extentAt(device: Device, block: number, end: number, into: DeviceExtent): DeviceExtent {
  const run = device.extent!(block, end, into);
  if (run.end > block) return run;
  throw new RangeError(
    `device of export ${JSON.stringify(device.info.name)}: its extent at block ${block} ends at ${run.end}`,
  );
}
