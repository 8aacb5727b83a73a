/**
 * /block/<export>: zram's files of a device, for one export of a pool that all exports share: its statistics, with zram's
 * columns, and writeback on demand. What an export has in the pool is not kept, so it is counted when it is asked for, entry by
 * entry, in pieces.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { allocatorOf, footprintOf } from '../../pool/allocator/index.ts';
import { setCount } from '../../pool/bits.ts';
import { highWater, isLive, LENGTH_SAME_FILLED } from '../../pool/entries.ts';
import { hugeSince } from '../../pool/export_accounts.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import type { Shared } from '../../pool/shared.ts';
import { sum } from '../../shm/counters.ts';
import { C } from '../../zswap/counters.ts';
import type { Outcome } from '../../zswap/wanted.ts';
import { shareRuns } from '../pool_check.ts';
import { FsError } from './errors.ts';
import { NO_LIMIT, parseInteger } from './notations.ts';
import { folderName } from './path.ts';
import { type FilesOf, type Folder, filesOf, table } from './tree.ts';
import { parseWriteback, type WritebackText } from './writeback_text.ts';

/** Entries that are looked at in one go: a few milliseconds. */
const PIECE = 2 ** 16;

/** Pages that were read from the image of an export, and written to it, since the start. */
export type ImagePages = (x: number) => { readonly read: number; readonly written: number };

/** What can be set of an export, by its number. */
export interface BlockControls {
  /** The most memory that its objects were seen to have, in bytes, since the start or the last reset. */
  memoryMax(x: number): number;
  resetMemoryMax(x: number): void;
  /** Idle is what was not used for so many seconds; 0: up to now. */
  markIdle(x: number, seconds: number): Promise<void>;
  writeback(x: number, what: WritebackText, gone: AbortSignal): Promise<Outcome>;
  /** Pages that may still be written back on demand, where that is limited. */
  limit(x: number): number;
  setLimit(x: number, pages: number): void;
  limitEnabled(x: number): boolean;
  enableLimit(x: number, on: boolean): void;
}

interface Held {
  pages: number;
  bytes: number;
  /** What its objects take of pages: those of their size classes, or of their chunks. */
  memory: number;
  same: number;
  huge: number;
}

export function blockFolder(shared: Shared, imagePages: ImagePages, controls: BlockControls): Folder {
  const files: FilesOf<number> = { ...statistics(shared, imagePages, controls), ...writeback(shared, controls) };
  const folders = shared.settings.exports.map(({ name }, x) => [folderName(name), table(filesOf(files, x))]);
  return table(Object.fromEntries(folders));
}

function statistics(shared: Shared, imagePages: ImagePages, controls: BlockControls): FilesOf<number> {
  const count = shareRuns(() => countEntries(shared));
  return {
    mm_stat: {
      read: async (x) => {
        const { pages, bytes, memory, same, huge } = (await count())[x];
        const { poolBytes } = shared.settings;
        // The most that was seen is looked at now and then, and what was counted just now may be more.
        const most = Math.max(memory, controls.memoryMax(x));
        const since = hugeSince(shared.accounts, x);
        return columns([pages * PAGE_SIZE, bytes, memory, poolBytes, most, same, compacted(shared), huge, since]);
      },
    },
    mem_used_max: {
      write: (x, text) => {
        parseInteger(text, 0, 0);
        controls.resetMemoryMax(x);
      },
    },
    bd_stat: {
      read: async (x) => {
        const { pages } = (await count())[x];
        const { read, written } = imagePages(x);
        return columns([Math.max(0, setCount(shared.users, x) - pages), read, written]);
      },
    },
  };
}

/** Why a writeback was not all that was asked for. */
const PROBLEMS: Readonly<Record<Exclude<Outcome, 'done'>, readonly ['EIO' | 'EAGAIN' | 'EBUSY', string]>> = {
  limit: ['EIO', 'writeback_limit is used up'],
  failed: ['EIO', 'the image did not take all pages; they are parked, and tried again'],
  unreadable: ['EIO', 'a page does not decompress'],
  budget: ['EAGAIN', 'the budget of this interval (exports[].writeback) is used up'],
  busy: ['EAGAIN', 'pages that were in use have stayed'],
  time: ['EAGAIN', 'the image has not taken all pages in time'],
  crowded: ['EAGAIN', 'another writeback of the export is under way, or too many requests are'],
  less: ['EAGAIN', 'less could be written back than was asked for'],
  off: ['EBUSY', 'the export is swapped off, or the server stops'],
};

function writeback({ settings }: Shared, controls: BlockControls): FilesOf<number> {
  return {
    idle: {
      write: (x, text) => controls.markIdle(x, text.trim() === 'all' ? 0 : parseInteger(text, 0, NO_LIMIT, 'all, or ')),
    },
    writeback: {
      write: async (x, text, gone) => {
        const outcome = await controls.writeback(x, parseWriteback(text, settings.exports[x].pages), gone);
        if (outcome !== 'done') throw new FsError(...PROBLEMS[outcome]);
      },
    },
    writeback_limit: {
      read: (x) => String(controls.limit(x)),
      write: (x, text) => controls.setLimit(x, parseInteger(text, 0, NO_LIMIT)),
    },
    writeback_limit_enable: {
      read: (x) => String(Number(controls.limitEnabled(x))),
      write: (x, text) => controls.enableLimit(x, parseInteger(text, 0, NO_LIMIT) !== 0),
    },
  };
}

/** Pages that compaction has freed. Exports share zspages, so that of several nobody can tell whose they were. */
function compacted({ counters, settings, zs }: Shared): number {
  const { pageBytes } = allocatorOf(zs);
  return settings.exports.length > 1 ? 0 : (sum(counters, C.compacted_zspages) * pageBytes) / PAGE_SIZE;
}

/** By export. What is stored and freed meanwhile is seen or not. */
async function countEntries({ entries, settings, zs }: Shared): Promise<readonly Held[]> {
  const held = settings.exports.map((): Held => ({ pages: 0, bytes: 0, memory: 0, same: 0, huge: 0 }));
  const takes = (e: number): number => footprintOf(zs, e, entries.length[e]);
  for (let e = 1; e < highWater(entries); ) {
    const end = Math.min(e + PIECE, highWater(entries));
    for (; e < end; e++) if (isLive(entries, e)) add(held[entries.volume[e]], entries.length[e], () => takes(e));
    await nextTurn();
  }
  return held;
}

function add(to: Held | undefined, bytes: number, footprint: () => number): void {
  // With debug.oracle what is freed is overwritten, and this one was freed between two looks.
  if (to === undefined) return;
  to.pages++;
  to.bytes += bytes;
  if (bytes === LENGTH_SAME_FILLED) {
    to.same++;
    return;
  }
  to.memory += footprint();
  if (bytes === PAGE_SIZE) to.huge++;
}

function columns(values: readonly number[]): string {
  return values.map((value) => String(value).padStart(8)).join(' ');
}
