/**
 * What the kernel says about a process and a block device. Reads are synchronous: they happen between runs, never during one.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { statFields } from '#src/os/proc_stat.js';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

function cpuTicks(pid: number | 'self'): { own: number; children: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = statFields(stat);
  return { own: Number(fields[11]) + Number(fields[12]), children: Number(fields[13]) + Number(fields[14]) };
}

/** User and system time of a process with all its threads, living and ended. */
export const cpuSeconds = (pid: number): number => cpuTicks(pid).own / ticksPerSecond;

/** The same for the benchmark itself with every child that has ended, such as fio. */
export function ownCpuSeconds(): number {
  const { own, children } = cpuTicks('self');
  return (own + children) / ticksPerSecond;
}

/** Time that the processors of the machine were not idle, with what a hypervisor took from them. */
export function machineCpuSeconds(): number {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!;
  const [user, nice, system, , , irq, softirq, steal] = line.trim().split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + irq! + softirq! + steal!) / ticksPerSecond;
}

function kibField(path: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(path, 'utf8'));
  if (match === null) throw new Error(`${path} has no ${name}`);
  return Number(match[1]) * 1024;
}

export const residentBytes = (pid: number): number => kibField(`/proc/${pid}/status`, 'VmRSS');

/** The page cache of block devices, of the whole machine. */
export const blockCacheBytes = (): number => kibField('/proc/meminfo', 'Buffers');

export interface ZramCounters {
  readonly origDataSize: number;
  readonly comprDataSize: number;
  readonly memUsedTotal: number;
  readonly samePages: number;
  /** Kept uncompressed. */
  readonly hugePages: number;
}

export function zramCounters(device: string): ZramCounters {
  const fields = readFileSync(`/sys/block/${device}/mm_stat`, 'utf8').trim().split(/\s+/).map(Number);
  return {
    origDataSize: fields[0]!,
    comprDataSize: fields[1]!,
    memUsedTotal: fields[2]!,
    samePages: fields[5]!,
    // Linux before 4.20 does not tell.
    hugePages: fields[7] ?? 0,
  };
}

/** Bytes that the device was given to write since it was set up. */
export function bytesWritten(device: string): number {
  const fields = readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/\s+/).map(Number);
  return fields[6]! * 512;
}
