/**
 * Names in a ByteDevice that look like one of its own and are none: what was meant would not be there, and nobody would say
 * so. A device may have more than is asked of it, so only what is likely to be a mistake is one; and only in a plain object,
 * which was written for this: an instance of a class has names for purposes of its own.
 */
import type { ByteDevice } from './byte_device.ts';

const NAMES: readonly (keyof ByteDevice)[] = [
  'name',
  'size',
  'description',
  'blockSize',
  'minBlock',
  'fastZero',
  'read',
  'write',
  'trim',
  'zero',
  'flush',
];

/** What others call it, without capitals and what joins words. */
const OTHERS: ReadonlyMap<string, string> = new Map([
  ['readonly', 'a device without write is read-only'],
  ['sync', 'flush'],
  ['fsync', 'flush'],
  ['fdatasync', 'flush'],
  ['discard', 'trim'],
  ['unmap', 'trim'],
  ['zeros', 'zero'],
  ['zeroes', 'zero'],
  ['writezeros', 'zero'],
  ['writezeroes', 'zero'],
  ['exportname', 'name'],
  ['exportsize', 'size'],
  ['minblocksize', 'minBlock'],
  ['minimumblocksize', 'minBlock'],
  ['preferredblock', 'blockSize'],
  ['preferredblocksize', 'blockSize'],
  ['pread', 'read'],
  ['pwrite', 'write'],
]);

const plain = (name: string): string => name.toLowerCase().replaceAll(/[-_]/g, '');

/** `named` is how the device is called. */
export function checkDeviceNames(device: object, named: string): void {
  const prototype: unknown = Object.getPrototypeOf(device);
  if (prototype !== null && prototype !== Object.prototype) return;
  for (const name of Object.keys(device)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    const meant = NAMES.find((one) => plain(one) === plain(name)) ?? OTHERS.get(plain(name));
    if (meant !== undefined) throw new TypeError(`${name} of ${named} is no property of a device, but: ${meant}`);
  }
}
