/** /proc/PID/stat and /proc/PID/task/TID/stat (proc(5)). */
import { readFileSync } from 'node:fs';
import { tried } from './tried.ts';

/** The fields after the name of the command, which may have anything in it; the state is the first. */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Field of /proc/PID/stat, counted from the one after the name. */
const START = 19;

/** When the process began, in ticks since the system did; null where there is none. */
export function startTicks(pid: number): number | null {
  const stat = tried(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return stat === null ? null : Number(statFields(stat)[START]);
}
