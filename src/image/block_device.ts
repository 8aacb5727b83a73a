/**
 * What sysfs knows of a block device: its size, its logical block, and an identity that outlives its number.
 * Invariant: device numbers and names are handed out anew at each boot, so they identify a device only where the kernel
 * offers nothing better.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { deviceNumber, SECTOR } from '../os/device_number.ts';
import { readBackingPath } from './loop_list.ts';

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
  /** The number of the disk in the order in which this boot has made them (Linux 5.15); null where the kernel does not count. */
  sequence: string | null;
  /** The name of the disk: that of the device itself, unless it is a partition. */
  disk: string;
  /** Of a loop device, as the kernel spells it: the file behind it; and where on the disk a partition begins, in bytes. */
  backingPath: string | null;
  start: number;
}

/** `rdev` is stat's device number of the node. */
export function describeBlockDevice(rdev: number): BlockDevice {
  const folder = deviceFolder(rdev);
  const partition = attribute(folder, 'partition');
  const disk = partition === '' ? folder : dirname(folder);
  return {
    bytes: Number(attribute(folder, 'size')) * SECTOR,
    logicalBlock: Number(attribute(disk, 'queue/logical_block_size')) || SECTOR,
    identity: `${diskIdentity(disk)}${partition === '' ? '' : `:partition=${partition}`}`,
    sequence: attribute(disk, 'diskseq') || null,
    disk: basename(disk),
    backingPath: existsSync(`${disk}/loop/backing_file`) ? readBackingPath(basename(disk)) : null,
    start: partition === '' ? 0 : Number(attribute(folder, 'start')) * SECTOR,
  };
}

/**
 * The devices that may have bytes in common with one, as "major:minor": itself, the disk of a partition, the partitions of a
 * disk, and what it is made of (device mapper, RAID), with their disks.
 */
export function relatedDevices(rdev: number): ReadonlySet<string> {
  const related = new Set<string>();
  // A container may have no sysfs.
  if (existsSync('/sys/dev/block')) addRelated(deviceFolder(rdev), related);
  return related;
}

function addRelated(folder: string, into: Set<string>): void {
  const number = attribute(folder, 'dev');
  if (into.has(number)) return;
  into.add(number);
  const isPartition = attribute(folder, 'partition') !== '';
  if (isPartition) into.add(attribute(dirname(folder), 'dev'));
  else for (const one of partitions(folder)) into.add(attribute(one, 'dev'));
  const slaves = join(isPartition ? dirname(folder) : folder, 'slaves');
  if (!existsSync(slaves)) return;
  for (const name of readdirSync(slaves)) addRelated(realpathSync(join(slaves, name)), into);
}

function partitions(disk: string): string[] {
  return readdirSync(disk)
    .map((name) => join(disk, name))
    .filter((one) => existsSync(join(one, 'partition')));
}

function deviceFolder(rdev: number): string {
  return realpathSync(`/sys/dev/block/${deviceNumber(rdev)}`);
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
