// What tests of images share: promises around callbacks, aligned pages, loop devices and small file systems.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import type { Image } from '#src/image/image.js';
import { alignedBytes } from '#src/image/io.js';
import { releaseImage } from '#src/image/lock.js';
import { openImage } from '#src/image/open.js';
import { ImageError, type ImageSpec, type PreparedImage, prepareImage } from '#src/image/prepare.js';
import { IMAGE_FLAG_WORDS } from '#src/pool/shared.js';
import { tempFolder } from '../support/tmp.ts';

export const PAGE = 4096;

/** Why loop devices and mounts can't be had here; false if they can. */
export function mountsMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, for loop devices and mounts';
  try {
    execFileSync('losetup', ['-f'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no loop device can be had here';
  }
}

export function newFlags(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * IMAGE_FLAG_WORDS));
}

/** Pages of one byte value each, on aligned memory. */
export function filled(...values: number[]): Uint8Array[] {
  const memory = alignedBytes(PAGE * values.length);
  return values.map((value, at) => memory.subarray(at * PAGE, (at + 1) * PAGE).fill(value));
}

/** Prepares an image, which is released with the test. */
export function prepare(t: Test, spec: ImageSpec): PreparedImage {
  const image = prepareImage(spec);
  t.teardown(() => releaseImage(image));
  return image;
}

/** A prepared image of `pages` pages in a temporary folder, and a handle of it. */
export function open(t: Test, pages: number, direct: ImageSpec['direct'] = 'auto') {
  const path = join(tempFolder(t), 'image');
  const image = prepare(t, { path, bytes: pages * PAGE, direct });
  const flags = newFlags();
  return { path, image, flags, handle: openHandle(t, image, flags) };
}

export function openHandle(t: Test, image: PreparedImage, flags = newFlags()) {
  const handle = openImage(image, flags);
  t.teardown(() => handle.close());
  return handle;
}

export const write = (handle: Image, slot: number, pages: readonly Uint8Array[]): Promise<number> =>
  new Promise((done) => handle.write(slot, pages, done));

export const punch = (handle: Image, slot: number, count: number): Promise<number> =>
  new Promise((done) => handle.punch(slot, count, done));

export const zero = (handle: Image, slot: number, count: number): Promise<number> =>
  new Promise((done) => handle.zero(slot, count, done));

export const sync = (handle: Image): Promise<number> => new Promise((done) => handle.sync(done));

/** The errno, and the first byte of each page that was read. The memory is 0xee before. */
export function read(handle: Image, slot: number, count: number): Promise<{ errno: number; pages: number[] }> {
  const memory = alignedBytes(count * PAGE).fill(0xee);
  return new Promise((done) => {
    handle.read(slot, count, memory, 0, (errno) => {
      done({ errno, pages: Array.from({ length: count }, (_, at) => memory[at * PAGE]) });
    });
  });
}

/** The ImageError of a call that must throw one. */
export function refused(call: () => unknown): ImageError {
  try {
    call();
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

/** A loop device over a new file, put back with the test. */
export function loopDevice(t: Test, bytes: number, ...args: string[]): string {
  const file = join(tempFolder(t), 'disk');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  return loopOver(t, file, ...args);
}

/** A loop device over what is there, put back with the test. */
export function loopOver(t: Test, path: string, ...args: string[]): string {
  const device = execFileSync('losetup', ['-f', '--show', ...args, path], { encoding: 'utf8' }).trim();
  t.teardown(() => execFileSync('losetup', ['-d', device]));
  return device;
}

export const ZRAM = '/sys/class/zram-control/hot_add';

/** A block device that is no loop device, put back with the test. Whoever asks needs ZRAM. */
export function zramDevice(t: Test, bytes: number): string {
  const number = readFileSync(ZRAM, 'utf8').trim();
  const folder = `/sys/block/zram${number}`;
  t.teardown(() => {
    writeFileSync(join(folder, 'reset'), '1');
    writeFileSync(join(dirname(ZRAM), 'hot_remove'), number);
  });
  writeFileSync(join(folder, 'disksize'), String(bytes));
  return `/dev/zram${number}`;
}

/** A file system of its own, unmounted with the test. */
export function mount(t: Test, type: string, source: string, options: string): string {
  const folder = join(tempFolder(t), 'mnt');
  mkdirSync(folder);
  execFileSync('mount', ['-t', type, '-o', options, source, folder]);
  t.teardown(() => execFileSync('umount', [folder]));
  return folder;
}
