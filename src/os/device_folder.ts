/** Where device nodes are: what is missing there is a device, and no file is made in its place. */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';

const DEVICES = '/dev';

/** False for other file systems below /dev, as /dev/shm is, and for a folder that is not there. */
export function isDeviceFolder(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const real = realpathSync(folder);
  const { dev } = statSync(real);
  // In a container it may be any file system.
  const below = real === DEVICES || real.startsWith(`${DEVICES}/`);
  return (below && dev === statSync(DEVICES).dev) || isDevtmpfs(dev);
}

/** statfs says tmpfs of it. */
function isDevtmpfs(dev: number): boolean {
  // glibc's major() and minor(), for numbers below 2^32, which all of Linux's are.
  const number = `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`;
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return mounts.some((line) => line.split(' ')[2] === number && line.includes(' - devtmpfs '));
}
