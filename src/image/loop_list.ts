/** The loop devices in use, and what the kernel tells of each without opening it: in sysfs, or else in /proc/partitions. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { SECTOR } from '../os/device_number.ts';
import { errorCode } from '../os/exit_error.ts';
import { tried } from '../os/tried.ts';

const SYSFS = '/sys/block';
const DELETED = / \(deleted\)$/;
const DEVICES = '/dev/';
/** A loop device has whole blocks, of this size at most, of a file that may end anywhere. */
const LARGEST_BLOCK = 4096;
/** major, minor, KiB and name of a whole device. */
const PARTITION = /^ *(\d+) +(\d+) +(\d+) (loop\d+)$/gm;
const KIB = 1024;

/** The path of a device whose path can't be had. */
export const UNKNOWN = '';

/** A loop device in use ("loop7"), and the path that sysfs has for what is behind it. */
export interface UsedLoop {
  name: string;
  backing: string;
}

export function usedLoops(): UsedLoop[] {
  // A container or a chroot may have no sysfs, or an empty one.
  const disks = tried(() => readdirSync(SYSFS))?.filter((name) => name.startsWith('loop')) ?? [];
  const others = partitions().filter(({ name }) => !disks.includes(name));
  return [...disks.flatMap(usedDisk), ...others.map(({ name }) => ({ name, backing: UNKNOWN }))];
}

function usedDisk(name: string): UsedLoop[] {
  try {
    const backing = readBackingPath(name);
    // One that is being detached has none any more.
    return backing === '' ? [] : [{ name, backing }];
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    // Not in use, or not any more. Any other error is about a path that can't be told, as one that is too long.
    return ['ENOENT', 'ENXIO', 'ENODEV'].includes(code) ? [] : [{ name, backing: UNKNOWN }];
  }
}

/** As the kernel spells it now; throws for a device that is not in use. */
export function readBackingPath(name: string): string {
  // Blanks at its end are of the name.
  return readFileSync(`${SYSFS}/${name}/loop/backing_file`, 'utf8').replace(/\n$/, '');
}

/** Its number ("7:1"); null where nothing tells. */
export function numberOf(name: string): string | null {
  const number = tried(() => readFileSync(`${SYSFS}/${name}/dev`, 'utf8'));
  return number?.trim() ?? partitions().find((one) => one.name === name)?.number ?? null;
}

/** Of the block device that is behind it, by the name of its node; null where that is none, or nothing tells. */
export function numberBehind({ backing }: UsedLoop): string | null {
  if (!isOverNode({ backing })) return null;
  return tried(() => readFileSync(`/sys/class/block/${basename(backing)}/dev`, 'utf8'))?.trim() ?? null;
}

export function isOverNode({ backing }: Pick<UsedLoop, 'backing'>): boolean {
  return backing.startsWith(DEVICES);
}

export function isCalled({ backing }: UsedLoop, name: string): boolean {
  return basename(backing.replace(DELETED, '')) === name;
}

/** Of what is behind it, in bytes, as far as that is told. */
export function rangeOf({ name }: UsedLoop): { start: number; end: number } {
  const start = tell(name, 'loop/offset');
  const bytes = tell(name, 'size') * SECTOR || (partitions().find((one) => one.name === name)?.bytes ?? 0);
  return { start, end: start + bytes };
}

/**
 * Whether by its size it may be over something of so many bytes: over a part of it only where it was limited to one, or nothing
 * tells where it begins. A machine may have dozens that its containers and its users do not see.
 */
export function mayCover(loop: UsedLoop, bytes: number): boolean {
  const { end } = rangeOf(loop);
  const isPart = tell(loop.name, 'size') === 0 || tell(loop.name, 'loop/sizelimit') > 0;
  return end <= bytes && (isPart || bytes - end < LARGEST_BLOCK);
}

/** 0 where nothing tells. */
function tell(name: string, what: string): number {
  return Number(tried(() => readFileSync(`${SYSFS}/${name}/${what}`, 'utf8')) ?? 0);
}

function partitions(): { name: string; number: string; bytes: number }[] {
  const text = tried(() => readFileSync('/proc/partitions', 'utf8')) ?? '';
  return [...text.matchAll(PARTITION)].map(([, major, minor, kib, name]) => ({
    name,
    number: `${major}:${minor}`,
    bytes: Number(kib) * KIB,
  }));
}
