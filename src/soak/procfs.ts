// What the kernel says of a process while it runs: memory, descriptors, threads, processor time.
import { readdirSync, readFileSync } from 'node:fs';
import { errorCode } from '../os/exit_error.ts';
import { statFields } from '../os/proc_stat.ts';

export interface ProcessSample {
  readonly rss: number;
  readonly fds: number;
  readonly threads: number;
  /** User and system, in clock ticks. */
  readonly ticks: number;
}

/** Null when the process is gone. */
export function readProcess(pid: number | 'self'): ProcessSample | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    const stat = statFields(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    return {
      rss: field('VmRSS') * 1024,
      fds: readdirSync(`/proc/${pid}/fd`).length,
      threads: field('Threads'),
      ticks: Number(stat[11]) + Number(stat[12]),
    };
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errorCode(error))) return null;
    throw error;
  }
}

/** Clock ticks of all processors together since the machine was started: those that were worked in, and all of them. */
interface Processors {
  readonly busy: number;
  readonly all: number;
}

export function readProcessors(): Processors {
  const [first] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  // user nice system idle iowait irq softirq steal; what guests take is part of user and nice.
  const ticks = first.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, one) => sum + one, 0);
  return { busy: all - ticks[3] - ticks[4], all };
}
