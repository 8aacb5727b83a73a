/**
 * The loop devices over a file or a block device. The kernel claims neither for them, so whoever serves what is behind one has
 * to ask.
 * Invariants: what a device itself says of what is behind it counts before the path that sysfs has, which may be gone or lead
 * elsewhere. A silent one is passed by only where that path says that it is over something else, and one that can't be opened,
 * only where it has neither the name nor a size that it could have over this image, or not both of them if its path leads to
 * another file from here (it may be another mount namespace's); else the image is refused, because what is mounted over it would be overwritten.
 */
import { type BigIntStats, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { deviceNumber } from '../os/device_number.ts';
import { mountOf, readMounts } from '../os/mounts.ts';
import { tried } from '../os/tried.ts';
import { bytesOf, relatedDevices } from './block_device.ts';
import { ImageError } from './error.ts';
import { fileIdentity } from './io.ts';
import { ANSWER_MS, askLoops, type LoopAnswer, NobodyAsks, START_MS } from './loop_ask.ts';
import {
  isCalled,
  isOverNode,
  mayCover,
  numberBehind,
  rangeOf,
  UNKNOWN,
  type UsedLoop,
  usedLoops,
} from './loop_list.ts';
import { isThroughOverlay } from './overlay.ts';

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
    isElsewhere: (loop) => {
      const called = isCalled(loop, basename(path));
      const covers = mayCover(loop, Number(file.size));
      // Another file at its path may be another one's where the device was made, and has the same name there.
      if (isUnseen(loop)) return loop.behind === null ? !called && !covers : !called || !covers;
      // The file system of the image answers: it has just been asked.
      return loop.backing !== UNKNOWN && (!called || isOnAnother(loop.backing, path));
    },
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
  const bytes = Math.max(...[...related].map(bytesOf));
  const path = `/dev/${basename(realpathSync(`/sys/dev/block/${deviceNumber(rdev)}`))}`;
  // Of many that are silent not all are asked, so that those come first which can be meant.
  used.sort((a, b) => Number(isOverNode(b)) - Number(isOverNode(a)));
  return found(path, asked(path, used, startMs), {
    isOver: (loop) => related.has(numberOfBehind(loop) ?? UNKNOWN),
    // Nodes are below /dev, in a file system that does not hang, and can be looked at there.
    isElsewhere: (loop) => loop.behind !== null || (isUnseen(loop) ? !mayCover(loop, bytes) : !isOverNode(loop)),
  });
}

/** It could not be opened: of what is behind it there is no more than what lies at its path, if anything. */
function isUnseen({ by, behind }: AskedLoop): boolean {
  return by === 'device' && (behind === null || behind.atPath === true);
}

function numberOfBehind(loop: AskedLoop): string | null {
  if (loop.behind === null) return isUnseen(loop) ? numberBehind(loop) : null;
  return loop.behind.rdev === null ? null : deviceNumber(loop.behind.rdev);
}

function meets(loop: UsedLoop, own: OwnLoop): boolean {
  if (loop.name === own.disk) return false;
  const { start, end } = rangeOf(loop);
  return start < own.end && own.start < end;
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

/** `isElsewhere` is asked of those alone of which it is not known what is behind them. */
function found(
  path: string,
  loops: readonly AskedLoop[],
  { isOver, isElsewhere }: Record<'isOver' | 'isElsewhere', (loop: AskedLoop) => boolean>,
): string | null {
  const over = loops.find(isOver);
  if (over !== undefined) return nodeOf(over);
  for (const loop of loops) {
    const unseen = isUnseen(loop);
    // Or it was detached meanwhile.
    if ((loop.by === 'device' && !unseen) || !usedLoops().some(({ name }) => name === loop.name)) continue;
    const node = nodeOf(loop);
    if (!isElsewhere(loop)) {
      const says = unseen
        ? `can't be opened here, and may be over this image`
        : `does not say whether it is over this image`;
      const allowed = `this image after \`losetup -d ${node}\`${unseen ? `, or a start that may open ${node}` : ''}`;
      throw new ImageError('locked', `${path}: ${node} ${says}, allowed: ${allowed}`);
    }
    if (unseen) continue;
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
