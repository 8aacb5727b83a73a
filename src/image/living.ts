/**
 * Whether the server that a marker tells of still runs. Its locks are what says so, and are out of sight where it has the image
 * under another path whose file is another one to the kernel (an overlay's), or in another mount namespace.
 */
import { readFileSync } from 'node:fs';
import { startTicks } from '../os/proc_stat.ts';
import { tried } from '../os/tried.ts';
import { ImageError } from './error.ts';
import { bootId, type MarkerState } from './marker.ts';

/** Ticks per second of what /proc tells, on every Linux that Node runs on. */
const USER_HZ = 100;
/** Between the clock of a marker and that of a process, in seconds. */
const SLACK = 2;

/** Throws ImageError where a server has it. */
export function refuseServed(path: string, marker: MarkerState): void {
  if (marker === null || marker === 'unreadable' || !runs(marker)) return;
  const text = `is in use by the server with pid ${marker.pid}, under another path or in another mount namespace`;
  throw new ImageError('locked', `${path}: ${text}, allowed: an image that no server, mount or swapon uses`);
}

/**
 * A process that has its pid and began when it did is the one that wrote it. Of a marker of an earlier version only the time is
 * known when it was written, by a clock that may have been set since; this process is not the one that wrote it then, but has
 * the same pid again where it is the first of a container.
 */
function runs({ pid, bootId: boot, started, ticks }: Exclude<MarkerState, null | 'unreadable'>): boolean {
  if (boot === null || boot !== bootId()) return false;
  const began = startTicks(pid);
  const line = tried(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
  if (began === null || line === null || !line.split('\0').includes('serve')) return false;
  if (ticks !== undefined) return began === ticks;
  const btime = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'));
  if (btime === null || pid === process.pid) return false;
  return Number(btime[1]) + began / USER_HZ <= Date.parse(started) / 1000 + SLACK;
}
