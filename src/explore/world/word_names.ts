/**
 * Names for shared words that mean the same in every thread: (array number, index), and one number over all arrays.
 *
 * Structured clone gives each thread its own view objects, so words are found through a map from view to number, made by
 * walking the same object in the same order. A snapshot of all those arrays is how a world is reset between schedules.
 */

import { STRIDE } from '../../pool/tree.ts';
import { VERSIONS } from './world.ts';

type Views = Int8Array | Uint8Array | Uint16Array | Int32Array | Uint32Array | Float64Array;

interface NamedArray {
  readonly name: string;
  readonly array: Views;
}

/** Rings carry their records between their counts; what lies outside is never read. */
const NOT_RESET = /^(orders|messages|answers\.\d+)\.words$/;

/**
 * Words whose order between threads only decides which index or buffer is handed out, or when a thread looks again: a
 * search that learns its scheduling points leaves them out. `every` takes them in.
 */
const QUIET =
  /^(boxes|counters|entries\.control|listed\.\w+\.control|trees\.control|slotTable\.control|zs\.control|zs\.classLock|orders\.control|messages\.control|answers\.\d+\.control|(request|writeback)Buffers\.control|(users|lost)\.counts)$/;

function walk(value: unknown, name: string, into: NamedArray[]): void {
  if (ArrayBuffer.isView(value)) {
    into.push({ name: name.replace(/^shared\./, ''), array: value as Views });
    return;
  }
  if (value === null || typeof value !== 'object') return;
  for (const key of Object.keys(value)) {
    walk((value as Record<string, unknown>)[key], name === '' ? key : `${name}.${key}`, into);
  }
}

/** Small tables that somebody reads outside of the façade without owning what he reads: how many of their elements. */
const DIRECT: Readonly<Record<string, number>> = {
  'slotTable.locked': 17,
  'slotTable.page': 17,
  'slotTable.wb': 17,
  'slotTable.filled': 17,
  'slotTable.retired': 17,
  'entries.generation': 12,
  'entries.state': 12,
  'entries.referenced': 12,
  'entries.slot': 12,
  'entries.memcg': 12,
  connections: 12,
  // The scrub looks before it pins.
  'sums.0.0': 8,
  'sums.1.0': 8,
  'shadow.may': 16,
  'shadow.pending': 16,
  'shadow.flushed': 16,
  'shadow.seen': 24,
  'shadow.part': 16,
  'shadow.met': 16,
  'shadow.beside': 16 * VERSIONS,
  'shadow.owners': 16 * VERSIONS,
  'shadow.reading': 24,
  'shadow.foundLost': 2,
};

export interface WordPlace {
  readonly array: number;
  /** Number of the array's first word over all arrays. */
  readonly base: number;
  readonly quiet: boolean;
}

export class Words {
  readonly arrays: readonly Int32Array[];
  readonly total: number;
  /** Numbers of all words that are not quiet. */
  readonly loud: readonly number[];
  readonly places = new Map<Int32Array, WordPlace>();
  /** See DIRECT. */
  readonly direct: readonly { readonly array: Views; readonly length: number }[];
  private readonly names: readonly string[];
  private readonly all: readonly NamedArray[];

  constructor(world: object) {
    const found: NamedArray[] = [];
    walk(world, '', found);
    this.all = found.filter(({ name }) => !NOT_RESET.test(name));
    const words = this.all.filter((one): one is { name: string; array: Int32Array } => one.array instanceof Int32Array);
    this.arrays = words.map(({ array }) => array);
    this.names = words.map(({ name }) => name);
    this.direct = this.all.flatMap(({ name, array }) =>
      name in DIRECT ? [{ array, length: Math.min(DIRECT[name], array.length) }] : [],
    );
    let base = 0;
    words.forEach(({ array, name }, number) => {
      this.places.set(array, { array: number, base, quiet: QUIET.test(name) });
      base += array.length;
    });
    this.total = base;
    this.loud = [...this.places.values()].flatMap(({ array, base: first, quiet }) =>
      quiet ? [] : Array.from(this.arrays[array], (_, i) => first + i),
    );
  }

  /** What to call a word in a report. */
  name(array: number, index: number): string {
    const name = this.names[array];
    if (name === 'trees.words')
      return `${['tree.lock', 'tree.head', 'tree.refs', 'tree.life'][index % STRIDE]} ${index >> 2}`;
    if (name === 'lru.lock') return `lru.lock ${index}`;
    if (name === 'slotTable.buckets') return 'a slot bucket lock';
    if (name === 'slotTable.locked') return `the pin of slot record ${index}`;
    const { 1: allocator, 2: column } = /^listed\.(\w+)\.(lock|pageLock)$/.exec(name) ?? [];
    if (column === 'lock') return `the pool's lock of ${allocator}`;
    if (column === 'pageLock') return `the lock of page ${index} of ${allocator}`;
    if (name === 'boxes') return 'its wake-up';
    if (name === 'entries.state') return `the state of entry ${index} to change`;
    return `${name}[${index}]`;
  }

  /** The map of slots that are written and not trimmed. */
  isUsers({ array }: WordPlace): boolean {
    return this.names[array] === 'users.words.0';
  }

  /** Slots that are pinned, each with the number of the thread that holds it. */
  pins(): { slot: number; thread: number }[] {
    const column = (name: string): Views | undefined => this.all.find((one) => one.name === `slotTable.${name}`)?.array;
    const locked = column('locked');
    const slot = column('slot');
    if (locked === undefined || slot === undefined) return [];
    return Array.from(locked).flatMap((owner, r) => (owner === 0 ? [] : [{ slot: slot[r], thread: owner - 1 }]));
  }

  /** Copies everything; restore() brings it back. */
  snapshot(): Uint8Array[] {
    return this.all.map(({ array }) => bytesOf(array).slice());
  }

  restore(snapshot: readonly Uint8Array[]): void {
    for (let i = 0; i < this.all.length; i++) bytesOf(this.all[i].array).set(snapshot[i]);
  }
}

const byteViews = new WeakMap<Views, Uint8Array>();

function bytesOf(array: Views): Uint8Array {
  let bytes = byteViews.get(array);
  if (bytes === undefined) {
    bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    byteViews.set(array, bytes);
  }
  return bytes;
}
