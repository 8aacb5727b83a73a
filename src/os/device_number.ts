/** The unit of sysfs's sizes of block devices, whatever the device has. */
export const SECTOR = 512;

/** A device's number as sysfs and mountinfo write it: "7:1". `number` is stat's, of glibc, below 2^32, which all of Linux's are. */
export function deviceNumber(number: number): string {
  return `${(number >>> 8) & 0xfff}:${(number & 0xff) | ((number >>> 12) & 0xfff00)}`;
}
