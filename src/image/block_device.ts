/**
 * What sysfs knows of a block device: its size, its logical block, and an identity that outlives its number.
 * Invariant: device numbers and names are handed out anew at each boot, so they identify a device only where the kernel
 * offers nothing better.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { systemCode } from './error.ts';
import { sameFile } from './io.ts';

const SECTOR = 512;

/**
 * Where the kernel keeps a lasting name: device mapper, NVMe, SCSI, virtio, and loop devices, whose backing file and
 * offset are what lasts. Each list counts as one identity and is used when its first attribute has a value.
 */
const IDENTITIES: readonly (readonly string[])[] = [
  ['dm/uuid'],
  ['wwid'],
  ['device/wwid'],
  ['serial'],
  ['loop/backing_file', 'loop/offset'],
];

export interface BlockDevice {
  bytes: number;
  logicalBlock: number;
  identity: string;
  /** Of a loop device, as the kernel spells it: the file behind it; and where on the disk a partition begins, in bytes. */
  backingPath: string | null;
  start: number;
  partition: boolean;
}

/** `rdev` is stat's device number of the node. */
export function describeBlockDevice(rdev: number): BlockDevice {
  // glibc's major() and minor(), for numbers below 2^32, which all of Linux's are.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const folder = realpathSync(`/sys/dev/block/${major}:${minor}`);
  const partition = attribute(folder, 'partition');
  const disk = partition === '' ? folder : dirname(folder);
  return {
    bytes: Number(attribute(folder, 'size')) * SECTOR,
    logicalBlock: Number(attribute(disk, 'queue/logical_block_size')) || SECTOR,
    identity: `${diskIdentity(disk)}${partition === '' ? '' : `:partition=${partition}`}`,
    backingPath: attribute(disk, 'loop/backing_file') || null,
    start: partition === '' ? 0 : Number(attribute(folder, 'start')) * SECTOR,
    partition: partition !== '',
  };
}

/** The loop devices whose file is at `path`, which has no links in it, or is `file` under another name. */
export function loopsOver(path: string, file: Stats): string[] {
  // A container may have no sysfs.
  if (!existsSync('/sys/block')) return [];
  const disks = readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
  return disks.filter((name) => {
    try {
      const backing = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
      return backing === path || sameFile(statSync(backing), file);
    } catch (error) {
      // Not in use, or not any more; or its file is where we can't look.
      if (systemCode(error) === '') throw error;
      return false;
    }
  });
}

function diskIdentity(disk: string): string {
  for (const names of IDENTITIES) {
    const values = names.map((name) => attribute(disk, name));
    if (values[0] !== '') return names.map((name, at) => `${name}=${values[at]}`).join(':');
  }
  return `name=${basename(disk)}`;
}

function attribute(folder: string, name: string): string {
  const path = `${folder}/${name}`;
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
}
