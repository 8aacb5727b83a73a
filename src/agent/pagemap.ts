// Which slots the processes hold now, from /proc/PID/pagemap: the answer where events were lost, and where the probes don't fit.
//
// Blind to pages of no process (shmem, tmpfs, a process that has ended); says the process's present cgroup, not the charged one.
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { codeOf } from './problem.ts';

const PAGE = 4096;
const ENTRY = 8;
/** Pages of one slice: 1 MiB of pagemap, some milliseconds. */
const SLICE_PAGES = 1 << 17;
/** Of one mapping, 256 GiB: runtimes reserve terabytes that they never use. What is behind that is not looked at. */
const MAPPING_PAGES_MAX = 1 << 26;
/** Bit 62 of an entry: it is in swap. */
const SWAPPED_HIGH = 1 << 30;

/** What one look at a piece of a process's memory found. */
interface Slice {
  /** Path of the process's cgroup. */
  readonly path: string;
  /** Slots of the swap device, in the order of their addresses. */
  readonly slots: number[];
}

interface Mapping {
  readonly first: number;
  readonly end: number;
  readonly swapped: number;
}

export interface PagemapCounts {
  processes: number;
  pages: number;
  /** Pages of mappings that are too large to be looked at. */
  skipped: number;
}

/** Goes through all processes. Each slice is read as a whole between two steps of the generator. */
export function* scanPagemaps(swapType: number, counts: PagemapCounts, proc = '/proc'): Generator<Slice> {
  const buffer = Buffer.alloc(SLICE_PAGES * ENTRY);
  for (const name of readdirSync(proc)) {
    if (!/^\d+$/.test(name)) continue;
    try {
      yield* scanProcess(`${proc}/${name}`, swapType, buffer, counts);
    } catch (error) {
      // It has ended, or is about to.
      if (!['ENOENT', 'ESRCH'].includes(codeOf(error))) throw error;
    }
  }
}

function* scanProcess(folder: string, swapType: number, buffer: Buffer, counts: PagemapCounts): Generator<Slice> {
  const swapKib = /^VmSwap:\s+(\d+) kB$/m.exec(readFileSync(`${folder}/status`, 'utf8'))?.[1];
  if (swapKib === undefined || swapKib === '0') return;
  const path = /^0::(\/.*)$/m.exec(readFileSync(`${folder}/cgroup`, 'utf8'))?.[1];
  if (path === undefined) return;
  counts.processes++;
  const pagemap = openSync(`${folder}/pagemap`, 'r');
  try {
    for (const mapping of swappedMappings(readFileSync(`${folder}/smaps`, 'utf8'))) {
      const end = Math.min(mapping.end, mapping.first + MAPPING_PAGES_MAX);
      let left = mapping.swapped;
      for (let page = mapping.first; page < end && left > 0; page += SLICE_PAGES) {
        const slots: number[] = [];
        left -= readSlice(pagemap, page, Math.min(SLICE_PAGES, end - page), swapType, buffer, slots);
        counts.pages += slots.length;
        if (slots.length > 0) yield { path, slots };
      }
      if (left > 0) counts.skipped += mapping.end - end;
    }
  } finally {
    closeSync(pagemap);
  }
}

function swappedMappings(smaps: string): Mapping[] {
  const mappings: Mapping[] = [];
  let range: RegExpExecArray | null = null;
  for (const line of smaps.split('\n')) {
    range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? range;
    const kib = /^Swap:\s+(\d+) kB/.exec(line)?.[1];
    if (range === null || kib === undefined || kib === '0') continue;
    const [first, end] = [range[1], range[2]].map((address) => Number.parseInt(address, 16) / PAGE);
    mappings.push({ first, end, swapped: Number(kib) / (PAGE / 1024) });
  }
  return mappings;
}

/** Returns how many pages are in swap, of whichever device. */
function readSlice(
  pagemap: number,
  page: number,
  pages: number,
  swapType: number,
  buffer: Buffer,
  slots: number[],
): number {
  const length = readSync(pagemap, buffer, 0, pages * ENTRY, page * ENTRY);
  let swapped = 0;
  for (let at = 0; at + ENTRY <= length; at += ENTRY) {
    const high = buffer.readUInt32LE(at + 4);
    if ((high & SWAPPED_HIGH) === 0) continue;
    const low = buffer.readUInt32LE(at);
    swapped++;
    // Bits 0 to 4 are the type, 5 to 54 the slot.
    if ((low & 31) === swapType) slots.push((low >>> 5) + (high & 0x7fffff) * 2 ** 27);
  }
  return swapped;
}
