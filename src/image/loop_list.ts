/** The loop devices in use, and what the kernel tells of each without opening it: in sysfs, or else in /proc/partitions. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
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
  // A container or a chroot may have no sysfs.
  if (!existsSync(SYSFS)) return partitions().map(({ name }) => ({ name, backing: UNKNOWN }));
  const disks = readdirSync(SYSFS).filter((name) => name.startsWith('loop'));
  return disks.flatMap((name) => {
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
  });
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

/** Of what is behind it, in bytes; all of that but where a limit was asked for. */
export function rangeOf({ name }: UsedLoop): { start: number; end: number; limited: boolean } {
  const tell = (what: string) => Number(tried(() => readFileSync(`${SYSFS}/${name}/${what}`, 'utf8')) ?? 0);
  const start = tell('loop/offset');
  const bytes = tell('size') * SECTOR || (partitions().find((one) => one.name === name)?.bytes ?? 0);
  return { start, end: start + bytes, limited: tell('loop/sizelimit') > 0 };
}

/** Whether its size is one that it would have over a file of so many bytes. */
export function fits(loop: UsedLoop, bytes: number): boolean {
  const { end, limited } = rangeOf(loop);
  return end <= bytes && (limited || bytes - end < LARGEST_BLOCK);
}

function partitions(): { name: string; number: string; bytes: number }[] {
  const text = tried(() => readFileSync('/proc/partitions', 'utf8')) ?? '';
  return [...text.matchAll(PARTITION)].map(([, major, minor, kib, name]) => ({
    name,
    number: `${major}:${minor}`,
    bytes: Number(kib) * KIB,
  }));
}
