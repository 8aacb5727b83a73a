/** Where device nodes are: what is missing there is a device, and no file is made in its place. */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { deviceNumber } from './device_number.ts';
import { readMounts } from './mounts.ts';

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
  const number = deviceNumber(dev);
  return readMounts().some(({ device, type }) => device === number && type === 'devtmpfs');
}
