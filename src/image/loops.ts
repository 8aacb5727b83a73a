/**
 * The loop devices over a file or a block device. The kernel claims neither for them, so whoever serves what is behind one has
 * to ask.
 * Invariants: what a device itself says of what is behind it counts before the path that sysfs has, which may be gone or lead
 * elsewhere. A silent one is passed by only where that path says that it is over something else; else the image is refused, because what is mounted over it would be overwritten.
 */
import { type BigIntStats, existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { deviceNumber } from '../os/device_number.ts';
import { errorCode } from '../os/exit_error.ts';
import { mountOf, readMounts } from '../os/mounts.ts';
import { relatedDevices, SECTOR } from './block_device.ts';
import { ImageError } from './error.ts';
import { fileIdentity } from './io.ts';
import { ANSWER_MS, askLoops, type LoopAnswer, NobodyAsks, START_MS } from './loop_ask.ts';
import { readBackingPath, tried } from './loop_look.ts';
import { isThroughOverlay } from './overlay.ts';

const DELETED = / \(deleted\)$/;
const DEVICES = '/dev/';
/** The path of a device whose path can't be had. */
const UNKNOWN = '';

/** A loop device in use, and the path that sysfs has for what is behind it. */
interface UsedLoop {
  name: string;
  backing: string;
}

/** An image that is a loop device itself, or a partition of one: [start, end) of the file behind it. */
interface OwnLoop {
  readonly disk: string;
  readonly start: number;
  readonly end: number;
}

interface AskedLoop extends UsedLoop, LoopAnswer {}

/**
 * The first loop device whose file is at `path`, which has no links in it, or is `file` under another path; throws ImageError
 * where that can't be told. All devices are asked: the file has one name now (lock.ts), and may have had another when the device
 * was made, or has one in another mount namespace. `own`: an image that is over the file too; only others that meet it count.
 */
export function loopOverFile(
  path: string,
  file: BigIntStats,
  own: OwnLoop | null = null,
  startMs = START_MS,
): string | null {
  const meant = usedLoops().filter((loop) => own === null || meets(loop, own));
  // Of many that are silent not all are asked, so that those come first which can be meant.
  meant.sort((a, b) => Number(isCalled(b, basename(path))) - Number(isCalled(a, basename(path))));
  const identity = fileIdentity(file);
  return found(path, asked(path, meant, startMs), {
    isOver: ({ by, behind, backing }) =>
      behind === null
        ? by === 'device' && backing === path
        : behind.file === identity || (by === 'device' && tried(() => isThroughOverlay(path, file, backing)) === true),
    // The file system of the image answers: it has just been asked.
    isElsewhere: (loop) =>
      loop.backing !== UNKNOWN && (!isCalled(loop, basename(path)) || isOnAnother(loop.backing, path)),
  });
}

/**
 * The first loop device over a block device, over its disk or a partition of it, or over what these are made of; throws
 * ImageError where that can't be told.
 */
export function loopOverDevice(rdev: number, startMs = START_MS): string | null {
  const related = relatedDevices(rdev);
  const used = usedLoops();
  if (used.length === 0) return null;
  const path = `/dev/${basename(realpathSync(`/sys/dev/block/${deviceNumber(rdev)}`))}`;
  // Of many that are silent not all are asked, so that those come first which can be meant.
  used.sort((a, b) => Number(isNode(b)) - Number(isNode(a)));
  return found(path, asked(path, used, startMs), {
    isOver: ({ behind }) => behind !== null && behind.rdev !== null && related.has(deviceNumber(behind.rdev)),
    // Nodes are below /dev, in a file system that does not hang, and can be looked at there.
    isElsewhere: (loop) => loop.behind !== null || !isNode(loop),
  });
}

function isCalled({ backing }: UsedLoop, name: string): boolean {
  return basename(backing.replace(DELETED, '')) === name;
}

function meets({ name }: UsedLoop, own: OwnLoop): boolean {
  if (name === own.disk) return false;
  const number = (what: string): number => Number(tried(() => readFileSync(`/sys/block/${name}/${what}`, 'utf8')) ?? 0);
  const start = number('loop/offset');
  return start < own.end && own.start < start + number('size') * SECTOR;
}

function isNode({ backing }: UsedLoop): boolean {
  return backing.startsWith(DEVICES);
}

function usedLoops(): UsedLoop[] {
  // A container may have no sysfs.
  if (!existsSync('/sys/block')) return [];
  const disks = readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
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

function asked(path: string, loops: readonly UsedLoop[], startMs: number): AskedLoop[] {
  if (loops.length === 0) return [];
  try {
    const names = loops.map(({ name }) => name);
    const answers = askLoops(names, startMs);
    return loops.map((loop) => ({ ...loop, ...(answers.get(loop.name) as LoopAnswer) }));
  } catch (error) {
    if (!(error instanceof NobodyAsks)) throw error;
    const why = `a process that asks them did not come to run in ${startMs / 1000} s`;
    throw new ImageError(
      'open',
      `${path}: can't tell whether a loop device uses it: ${why}, allowed: another start, on a machine with time for it`,
      { cause: error },
    );
  }
}

/** `isElsewhere` is asked of silent ones alone. */
function found(
  path: string,
  loops: readonly AskedLoop[],
  { isOver, isElsewhere }: Record<'isOver' | 'isElsewhere', (loop: AskedLoop) => boolean>,
): string | null {
  const over = loops.find(isOver);
  if (over !== undefined) return nodeOf(over);
  for (const loop of loops) {
    // Or it was detached meanwhile.
    if (loop.by === 'device' || !usedLoops().some(({ name }) => name === loop.name)) continue;
    const node = nodeOf(loop);
    if (!isElsewhere(loop)) {
      const allowed = `this image after \`losetup -d ${node}\``;
      throw new ImageError(
        'locked',
        `${path}: ${node} does not say whether it is over this image, allowed: ${allowed}`,
      );
    }
    process.emitWarning(`${node}: no answer in ${ANSWER_MS} ms; by its path, ${loop.backing}, it is not over ${path}`);
  }
  return null;
}

function nodeOf({ name }: UsedLoop): string {
  return `/dev/${name}`;
}

/** Whether two paths are on different file systems, by the table of mounts alone: to look at one of them may take for ever. */
function isOnAnother(one: string, other: string): boolean {
  const mounts = readMounts();
  return mountOf(one, mounts)?.device !== mountOf(other, mounts)?.device;
}
