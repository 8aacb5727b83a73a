/**
 * Whether the server that a marker tells of still runs. Its locks are what says so, and are out of sight where it has the image
 * under another path whose file is another one to the kernel (an overlay's), or in another mount namespace.
 */
import { readFileSync } from 'node:fs';
import { statFields } from '../os/proc_stat.ts';
import { ImageError } from './error.ts';
import { tried } from './loop_look.ts';
import { bootId, type MarkerState } from './marker.ts';

/** Ticks per second of what /proc tells, on every Linux that Node runs on. */
const USER_HZ = 100;
/** Field of /proc/PID/stat, counted from the one after the name. */
const FIELD_START = 19;
/** Between the clock of a marker and that of a process, in seconds. */
const SLACK = 2;

/** Throws ImageError where a server has it. */
export function refuseServed(path: string, marker: MarkerState): void {
  if (marker === null || marker === 'unreadable' || !runs(marker)) return;
  const text = `is in use by the server with pid ${marker.pid}, under another path or in another mount namespace`;
  throw new ImageError('locked', `${path}: ${text}, allowed: an image that no server, mount or swapon uses`);
}

/** A process that began before the marker was written, and has its pid, is the one that wrote it. */
function runs({ pid, bootId: boot, started }: Exclude<MarkerState, null | 'unreadable'>): boolean {
  if (boot === null || boot !== bootId()) return false;
  const stat = tried(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  const line = tried(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
  const btime = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'));
  if (stat === null || line === null || btime === null || !line.split('\0').includes('serve')) return false;
  const ticks = Number(statFields(stat)[FIELD_START]);
  return Number(btime[1]) + ticks / USER_HZ <= Date.parse(started) / 1000 + SLACK;
}
