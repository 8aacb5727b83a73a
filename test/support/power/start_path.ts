/**
 * What a start makes of an image and its markers, by what the server itself asks before it changes anything (server/images.ts).
 * Without the look at the loop devices of this machine, which other tests may have: a real start does that too.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import type { Config } from '#src/config/schema.js';
import { ImageError } from '#src/image/error.js';
import { describeFile, type LockedImage } from '#src/image/lock.js';
import { admitImage, imageExit } from '#src/server/images.js';

export interface Decision {
  /** clean: served without a word. serve: with a word that writes may be gone. refused: with exit 3, or what the text says. */
  readonly start: 'clean' | 'serve' | 'refused';
  /** The line of a refusal, or the word. */
  readonly text: string;
}

/** For an export of `size` bytes that says nothing of unclean images. */
export function decide(image: string, size: number): Decision {
  const exports = [{ name: 'swap0', image, size, onUnclean: 'refuse' }];
  const fd = existsSync(image) ? openSync(image, 'r+') : -1;
  try {
    const found = fd < 0 ? missing(image) : describeFile(image, fd);
    const there = fd < 0 ? 'missing' : found.bytes === 0 ? 'empty' : 'bytes';
    const words: string[] = [];
    const warn = (line: string): void => void words.push(line);
    const { start } = admitImage({ exports } as unknown as Config, 0, { image: found, there }, warn);
    if (there === 'bytes' && found.bytes !== size) return { start: 'refused', text: `exit 2: ${found.bytes} bytes` };
    return { start: start === 'clean' ? 'clean' : 'serve', text: words.join(', ') };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    const { exitCode, message } = imageExit(0, error);
    return { start: 'refused', text: `exit ${exitCode}: ${message}` };
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function missing(path: string): LockedImage {
  const file = { path, fd: -1, identity: '', born: null };
  const named = { identity: '', names: [], sequence: null };
  return { path, fd: -1, blockDevice: false, ...named, bytes: 0, file, part: null, behind: [] };
}
