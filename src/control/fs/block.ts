/**
 * /block/<export>: zram's statistics of a device, with zram's columns, for one export of a pool that all exports share.
 * What an export has in the pool is not kept, so it is counted when it is asked for, entry by entry, in pieces.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { allocatorOf } from '../../pool/allocator/index.ts';
import { setCount } from '../../pool/bits.ts';
import { highWater, isLive, LENGTH_SAME_FILLED } from '../../pool/entries.ts';
import { PAGE_SIZE } from '../../pool/limits.ts';
import type { Shared } from '../../pool/shared.ts';
import { shareRuns } from '../pool_check.ts';
import { folderName } from './path.ts';
import { type FilesOf, type Folder, filesOf, table } from './tree.ts';

/** Entries that are looked at in one go: a few milliseconds. */
const PIECE = 2 ** 16;

/** Pages that were read from the image of an export, and written to it, since the start. */
export type ImagePages = (x: number) => { readonly read: number; readonly written: number };

interface Held {
  pages: number;
  bytes: number;
  /** What its objects take of pages: those of their size classes, or of their chunks. */
  memory: number;
  same: number;
  huge: number;
}

export function blockFolder(shared: Shared, imagePages: ImagePages): Folder {
  const count = shareRuns(() => countEntries(shared));
  const files: FilesOf<number> = {
    mm_stat: {
      read: async (x) => {
        const { pages, bytes, memory, same, huge } = (await count())[x];
        const { poolBytes } = shared.settings;
        // Two columns of zram's are not counted here: the most memory it ever had, and huge pages since the start. Nor can
        // it be told whose pages compaction freed.
        return columns([pages * PAGE_SIZE, bytes, memory, poolBytes, 0, same, 0, huge, 0]);
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
  const folders = shared.settings.exports.map(({ name }, x) => [folderName(name), table(filesOf(files, x))]);
  return table(Object.fromEntries(folders));
}

/** By export. What is stored and freed meanwhile is seen or not. */
async function countEntries({ entries, settings, zs }: Shared): Promise<readonly Held[]> {
  const held = settings.exports.map((): Held => ({ pages: 0, bytes: 0, memory: 0, same: 0, huge: 0 }));
  const { footprint } = allocatorOf(zs);
  const takes = (bytes: number): number => footprint(zs, bytes);
  for (let e = 1; e < highWater(entries); ) {
    const end = Math.min(e + PIECE, highWater(entries));
    for (; e < end; e++) if (isLive(entries, e)) add(held[entries.volume[e]], entries.length[e], takes);
    await nextTurn();
  }
  return held;
}

function add(to: Held | undefined, bytes: number, footprint: (bytes: number) => number): void {
  // With debug.oracle what is freed is overwritten, and this one was freed between two looks.
  if (to === undefined) return;
  to.pages++;
  to.bytes += bytes;
  if (bytes === LENGTH_SAME_FILLED) {
    to.same++;
    return;
  }
  to.memory += footprint(bytes);
  if (bytes === PAGE_SIZE) to.huge++;
}

function columns(values: readonly number[]): string {
  return values.map((value) => String(value).padStart(8)).join(' ');
}
