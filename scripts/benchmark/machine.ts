/** The line that says what a figure was measured on; without it no figure means anything. */
import { cpus, loadavg, release, totalmem } from 'node:os';
import { capture } from '../support/child.ts';
import { zramAlgorithm } from './zram.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly nbdkit: string;
  readonly fio: string;
  readonly qemu: string;
  readonly zram: string;
  readonly loadAtStart: number;
}

async function version(command: string): Promise<string> {
  const output = await capture(command, '--version');
  return /\d+\.\d+(\.\d+)?/.exec(output ?? '')?.[0] ?? 'missing';
}

export async function describeMachine(): Promise<Machine> {
  const [nbdkit, fio, qemu] = await Promise.all(['nbdkit', 'fio', 'qemu-nbd'].map(version));
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: /^[\d.]*\d/.exec(release())?.[0] ?? release(),
    node: process.version,
    nbdkit: nbdkit!,
    fio: fio!,
    qemu: qemu!,
    zram: zramAlgorithm() ?? 'missing',
    loadAtStart: loadavg()[0]!,
  };
}

export function machineLine(machine: Machine): string {
  const tools = `nbdkit ${machine.nbdkit}, fio ${machine.fio}, qemu-nbd ${machine.qemu}, zram ${machine.zram}`;
  const host = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB, Linux ${machine.kernel}`;
  return `${host}, node ${machine.node}, ${tools}, load ${machine.loadAtStart.toFixed(2)} at start`;
}
