/** What is behind a loop device. To look may take for ever where the file system of it hangs, so loop_ask.ts has others look. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { deviceNumber } from '../os/device_number.ts';
import { isFreeLoop, loopFile } from '../os/syscalls.ts';
import { tried } from '../os/tried.ts';
import { fileIdentity } from './io.ts';
import { numberOf, readBackingPath } from './loop_list.ts';

/** One of the two is null, and both where nothing is behind it any more. */
export interface BehindLoop {
  /** There where the device could not be asked: what lies at its path, as it leads from here. */
  atPath?: true;
  /** dev:ino of a regular file. */
  file: string | null;
  /** stat's number of a block device. */
  rdev: number | null;
}

/** Who is asked: the device itself, and after it what lies at the path of it; or that path alone. */
export type Asked = 'device' | 'path';

/** By its name ("loop7"); null where nothing can be had. May wait for as long as its file system does. */
export function behindLoop(name: string, asked: Asked): BehindLoop | null {
  const loop = asked === 'path' ? null : tried(() => askLoop(name));
  if (loop !== null) return loop;
  return tried(() => {
    const found = statSync(readBackingPath(name), { bigint: true });
    const at = asked === 'path' ? {} : { atPath: true as const };
    if (found.isBlockDevice()) return { file: null, rdev: Number(found.rdev), ...at };
    return { file: fileIdentity(found), rdev: null, ...at };
  });
}

/** null for a node that is another device's, as in a container, and where the system refuses. */
function askLoop(name: string): BehindLoop | null {
  const fd = openSync(`/dev/${name}`, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (deviceNumber(fstatSync(fd).rdev) !== numberOf(name)) return null;
    const loop = loopFile(fd);
    if (loop === null) return isFreeLoop(fd) ? { file: null, rdev: null } : null;
    return { file: loop.rdev === null ? fileIdentity(loop) : null, rdev: loop.rdev };
  } finally {
    closeSync(fd);
  }
}
