/** The memory of a process as the kernel has it: its mappings with their flags (/proc/PID/smaps), and what is in them. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const READ_BYTES = 4 * 2 ** 20;

export interface Mapping {
  readonly start: number;
  readonly bytes: number;
  /** Of it, what is in RAM. */
  readonly resident: number;
  /** As in VmFlags: `lo` locked, `dd` left out of core dumps. */
  readonly flags: readonly string[];
}

export function mappingsOf(pid: number | 'self'): Mapping[] {
  const kib = (part: string, name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(part)?.[1]);
  const parts = readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return parts.map((part) => ({
    start: Number.parseInt(part, 16),
    bytes: kib(part, 'Size') * 1024,
    resident: kib(part, 'Rss') * 1024,
    flags: /^VmFlags: (.*)$/m.exec(part)?.[1].trim().split(' ') ?? [],
  }));
}

export function bytesWith(mappings: readonly Mapping[], flag: string): number {
  return mappings.filter(({ flags }) => flags.includes(flag)).reduce((sum, { bytes }) => sum + bytes, 0);
}

export function residentWith(mappings: readonly Mapping[], flag: string): number {
  return mappings.filter(({ flags }) => flags.includes(flag)).reduce((sum, { resident }) => sum + resident, 0);
}

/** How often `wanted` is in what of a mapping is in RAM; what is not is read as zeros, and takes none. */
export function countIn(pid: number, { start, bytes, resident }: Mapping, wanted: Buffer): number {
  if (resident === 0) return 0;
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const piece = Buffer.alloc(READ_BYTES + wanted.length);
  let found = 0;
  try {
    for (let at = 0; at < bytes; at += READ_BYTES) {
      const got = readSync(memory, piece, 0, Math.min(piece.length, bytes - at), start + at);
      const text = piece.subarray(0, got);
      for (let i = text.indexOf(wanted); i >= 0 && i < READ_BYTES; i = text.indexOf(wanted, i + 1)) found++;
    }
  } finally {
    closeSync(memory);
  }
  return found;
}
