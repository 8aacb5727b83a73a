/**
 * Counts what must agree when nothing is under way: live entries, entries in trees, entries on the LRU lists, what memcgs
 * are charged, and the objects of the allocator. An entry that is alive and in no tree is a leak: nobody can reach it.
 *
 * Reads under the locks that writers hold, one at a time and never two, and none for longer than a piece of a list or one
 * tree takes (2^14 places), so it may run beside anything; but the sums mean something only if nothing moved meanwhile:
 * busy.ts says what is under way; zswap's `stamp` changes when something was. Rotations change no stamp, and a walk in pieces may
 * lose its place by one: then there is no result.
 */
import { sum } from '../shm/counters.ts';
import { allocatorOf } from './allocator/index.ts';
import { countBits, setCount, testBit } from './bits.ts';
import { checkMemcgs, type MemcgSums, type RowFaults } from './check_memcgs.ts';
import { POOL } from './counters.ts';
import { highWater, isLive, LENGTH_SAME_FILLED, NONE } from './entries.ts';
import { belongs } from './lru.ts';
import { isOnline, TABLE } from './memcg.ts';
import { eachLinked, PIECE, stampOf } from './pieces.ts';
import type { Shared } from './shared.ts';
import { isFreed, lockTree, unlockTree } from './tree.ts';
import { eachEntry } from './tree_walk.ts';

export interface PoolCheck {
  readonly entries: {
    readonly alive: number;
    readonly same_filled: number;
    readonly in_trees: number;
    readonly on_lru: number;
    /** Alive and in no tree. */
    readonly leaked: number;
    /** In a tree, though freed, in the place of another slot, or twice. */
    readonly wrong_in_trees: number;
    /** In a tree at a slot that nobody uses: a TRIM passed it by. */
    readonly unused_in_trees: number;
    /** On an LRU list, though freed, same-filled, or twice. */
    readonly wrong_on_lru: number;
    /** In a tree with an object, and on no LRU list. */
    readonly not_on_lru: number;
    /** With an object that is not where the allocator says it is, or has another size there. */
    readonly wrong_object: number;
  };
  readonly counted: { readonly stored_pages: number; readonly compressed_bytes: number };
  readonly lengths_bytes: number;
  readonly memcgs: readonly MemcgSums[];
  readonly memcg_rows: RowFaults;
  /** What is kept of the bits, and the bits themselves. */
  readonly exports: readonly {
    readonly used_pages: number;
    readonly used_bits: number;
    readonly lost_pages: number;
    readonly lost_bits: number;
  }[];
  /** Pages of the allocator: zspages, or those of zbud and z3fold. */
  readonly zspages: {
    readonly in_use: number;
    readonly linked: number;
    readonly objects: number;
    /** That reclaim by pages can't find, or that somebody has claimed. */
    readonly strays: number;
    readonly entries_with_object: number;
  };
}

const IN_TREE = 1;
const ON_LRU = 2;

/** The same of empty trees, and of bits. */
const TREES_PAUSE = 2 ** 9;
const BITS_PAUSE = 2 ** 23;
/** Places that are looked at between two of its pauses: a millisecond or a few. */
const PAUSE = 2 ** 16;

/**
 * Takes one to four seconds for ten million entries, or an export of 8 TiB, and pauses every few milliseconds, but in a list of
 * the LRU or of the allocator. Null where a list changed while it was looked at. `steps`: of a list under one hold of its lock.
 */
export function* checkPool(s: Shared, steps = PIECE): Generator<undefined, PoolCheck | null> {
  const end = highWater(s.entries);
  const { control } = s.memcgs;
  const moved = control[TABLE.MOVED];
  const state = s.memcgs.state.slice();
  const marks = new Uint8Array(end);
  const trees = yield* markTrees(s, marks);
  const piece = new Int32Array(steps);
  const lists = markLists(s, marks, piece);
  const allocator = allocatorOf(s.zs);
  const usage = allocator.usage(s.zs, piece);
  if (lists === null || usage === null) return null;
  /** By the memcg that entries name. */
  const lengths = new Float64Array(s.memcgs.rows);
  const { length, memcg, dead } = s.entries;
  const deadBytes = new Float64Array(s.memcgs.rows);
  /** And how many with an object do. */
  const named = new Uint32Array(s.memcgs.rows);
  const found = { alive: 0, same_filled: 0, leaked: 0, not_on_lru: 0, wrong_object: 0 };
  let wrongInTrees = trees.wrong;
  let wrongOnLru = lists.wrong;
  for (let e = 1; e < end; e++) {
    if (e % PAUSE === 0) yield;
    const inTree = (marks[e] & IN_TREE) !== 0;
    const onLru = (marks[e] & ON_LRU) !== 0;
    if (!isLive(s.entries, e)) {
      if (inTree) wrongInTrees++;
      if (onLru) wrongOnLru++;
      continue;
    }
    const filled = length[e] === LENGTH_SAME_FILLED;
    found.alive++;
    lengths[memcg[e]] += length[e];
    if (dead.length > 0 && dead[e] !== 0) deadBytes[memcg[e]] += length[e];
    if (filled) found.same_filled++;
    else if (!allocator.owns(s.zs, e, length[e])) found.wrong_object++;
    // One that is same-filled is charged to nobody, and keeps no row.
    if (!filled) named[memcg[e]]++;
    if (filled && onLru) wrongOnLru++;
    if (!inTree) found.leaked++;
    else if (!onLru && !filled) found.not_on_lru++;
  }
  const exports = yield* exportBits(s);
  // A memcg that was removed meanwhile has given its list to another, and a row may be another's by now.
  if (control[TABLE.MOVED] !== moved || state.some((was, m) => was !== s.memcgs.state[m])) return null;
  return {
    entries: {
      ...found,
      in_trees: trees.seen,
      on_lru: lists.seen,
      wrong_in_trees: wrongInTrees,
      unused_in_trees: trees.unused,
      wrong_on_lru: wrongOnLru,
    },
    counted: {
      stored_pages: sum(s.counters, POOL.stored_pages),
      compressed_bytes: sum(s.counters, POOL.compressed_bytes),
    },
    lengths_bytes: lengths.reduce((a, b) => a + b, 0),
    ...checkMemcgs(s, lengths, deadBytes, named),
    exports,
    zspages: {
      in_use: allocator.pages(s.zs),
      ...usage,
      strays: allocator.strays(s.zs),
      entries_with_object: found.alive - found.same_filled,
    },
  };
}

interface Marked {
  seen: number;
  wrong: number;
}

function* exportBits({ settings, users, lost }: Shared): Generator<undefined, PoolCheck['exports']> {
  const exports: PoolCheck['exports'][number][] = [];
  for (const [x, { pages }] of settings.exports.entries()) {
    let [used, gone] = [0, 0];
    for (let slot = 0; slot < pages; slot += BITS_PAUSE) {
      const to = Math.min(pages, slot + BITS_PAUSE);
      used += countBits(users, x, to, slot);
      gone += countBits(lost, x, to, slot);
      yield;
    }
    exports.push({
      used_pages: setCount(users, x),
      used_bits: used,
      lost_pages: setCount(lost, x),
      lost_bits: gone,
    });
  }
  return exports;
}

function* markTrees(s: Shared, marks: Uint8Array): Generator<undefined, Marked & { unused: number }> {
  const { trees, entries } = s;
  const marked = { seen: 0, wrong: 0, unused: 0 };
  let looked = 0;
  for (let x = 0; x < s.settings.exports.length; x++) {
    for (let tree = trees.base[x]; tree < trees.base[x + 1]; tree++) {
      if (isFreed(trees, tree)) continue;
      lockTree(trees, tree);
      eachEntry(trees, tree, (index, e) => {
        marked.seen++;
        const known = e < marks.length && (marks[e] & IN_TREE) === 0;
        if (!known || entries.volume[e] !== x || (entries.slot[e] & trees.mask) !== index) marked.wrong++;
        else if (!testBit(s.users, x, entries.slot[e])) marked.unused++;
        if (e < marks.length) marks[e] |= IN_TREE;
      });
      unlockTree(trees, tree);
      if (marked.seen - looked < PAUSE && tree % TREES_PAUSE !== 0) continue;
      looked = marked.seen;
      yield;
    }
  }
  return marked;
}

function markLists({ lru, entries, memcgs }: Shared, marks: Uint8Array, piece: Int32Array): Marked | null {
  const marked: Marked = { seen: 0, wrong: 0 };
  const { lock, unlinked, head: heads } = lru;
  for (let m = 0; m < memcgs.rows; m++) {
    // One that is not online has none, or what is on it is wrong there.
    if (!isOnline(memcgs, m) && heads[m] === NONE) continue;
    const list = { lock, index: m, unlinked, heads, head: m, next: entries.next, none: NONE };
    const whole = eachLinked(list, stampOf(list), piece, (e) => {
      marked.seen++;
      // A list that bites its own tail is cut by its marks.
      const known = e > 0 && e < marks.length && (marks[e] & ON_LRU) === 0;
      if (!known || !isOnline(memcgs, m) || !belongs({ memcgs }, entries, m, e)) marked.wrong++;
      if (known) marks[e] |= ON_LRU;
      return known;
    });
    if (!whole) return null;
  }
  return marked;
}

interface Names {
  readonly exports: readonly { readonly name: string }[];
}

/** What does not agree, one line each; empty when everything does. */
export function disagreements(check: PoolCheck, { exports }: Names): string[] {
  const { entries, counted, zspages } = check;
  const lines: string[] = [];
  const say = (wrong: boolean, line: string): unknown => wrong && lines.push(line);
  say(entries.leaked > 0, `${entries.leaked} entries are alive and in no tree: leaked`);
  say(entries.wrong_in_trees > 0, `${entries.wrong_in_trees} places in trees hold an entry that does not belong there`);
  say(entries.unused_in_trees > 0, `${entries.unused_in_trees} entries are stored at slots that nobody uses`);
  say(entries.wrong_on_lru > 0, `${entries.wrong_on_lru} entries on an LRU list do not belong there`);
  say(entries.wrong_object > 0, `${entries.wrong_object} entries have no object of their size where they say`);
  say(entries.not_on_lru > 0, `${entries.not_on_lru} entries are in a tree and on no LRU list: never written back`);
  const differ = (what: string, a: number, b: number): unknown => say(a !== b, `${what}: ${a}, not ${b}`);
  differ('stored_pages', counted.stored_pages, entries.alive);
  differ('compressed_bytes', counted.compressed_bytes, check.lengths_bytes);
  for (const one of check.memcgs) {
    differ(`bytes on the list of ${one.name}`, one.charged_bytes, one.lengths_bytes);
    differ(`dead bytes on the list of ${one.name}`, one.dead_bytes, one.dead_lengths_bytes);
    differ(`zswap.current of ${one.name}`, one.subtree_charged_bytes, one.subtree_lengths_bytes);
  }
  const { memcg_rows: rows } = check;
  say(rows.named_free > 0, `${rows.named_free} entries name a memcg that there is not`);
  say(rows.listed > 0, `${rows.listed} memcgs that are not online have a list`);
  say(rows.wrong_charges > 0, `${rows.wrong_charges} rows of memcgs are charged what their entries do not have`);
  say(rows.owners > 0, `${rows.owners} exports, ranges or numbers of agents stand for a memcg that is not online`);
  check.exports.forEach((one, x) => {
    differ(`used_pages of ${exports[x].name}`, one.used_pages, one.used_bits);
    differ(`lost_pages of ${exports[x].name}`, one.lost_pages, one.lost_bits);
  });
  differ('pages of the allocator in use', zspages.in_use, zspages.linked);
  differ('pages that reclaim does not find', zspages.strays, 0);
  differ('objects', zspages.objects, zspages.entries_with_object);
  return lines;
}
