/** What a scenario is made of: plain data, so that it can be handed to threads and named in a replay string. */
import { TREE_PAGES } from '../../pool/limits.ts';
import type { DeadPolicy, Heuristic } from '../../pool/policies.ts';

export type Operation =
  | { readonly op: 'write'; readonly slot: number; readonly version: number }
  | { readonly op: 'read'; readonly slot: number }
  | { readonly op: 'trim'; readonly first: number; readonly end: number }
  /** One WRITE of several slots, and one READ of them. */
  | { readonly op: 'write-slots'; readonly first: number; readonly end: number; readonly version: number }
  | { readonly op: 'read-slots'; readonly first: number; readonly end: number }
  /** A WRITE of the first half of a slot; what comes of it is the slot's version before, with that half (world.ts). */
  | { readonly op: 'write-part'; readonly slot: number }
  /** WRITE_ZEROES of slots, with `half` also of the first half of slot `end`; `noHole`: the room stays theirs. */
  | {
      readonly op: 'zero';
      readonly first: number;
      readonly end: number;
      readonly half: boolean;
      readonly noHole: boolean;
    }
  /** The client checks that the disk has the slot as it was answered before, or newer. */
  | { readonly op: 'flush'; readonly slot: number }
  /**
   * Waits until nobody uses the slot, as a guest's allocator does: from here on the trim that `connection` sent has
   * happened, whatever the server still does about it.
   */
  | { readonly op: 'allocate'; readonly slot: number; readonly connection: number }
  /** The client gives another connection up, because its request was not answered in time. */
  | { readonly op: 'give-up'; readonly connection: number }
  /** In the guest a slot was charged to a cgroup, or freed: the time of event `event` is now. */
  | { readonly op: 'event'; readonly event: number }
  /** Another connection ends at any moment, also in the middle of a unit that its lane is at. */
  | { readonly op: 'cut'; readonly connection: number };

interface Report {
  readonly n: number;
  readonly event: number;
  /** It is a batch for the shrinker's thread, as in service, and with number 0 the slot is free. */
  readonly sent?: boolean;
}

export type ActorSpec =
  | {
      readonly kind: 'client';
      readonly name: string;
      readonly connection: number;
      /** Of which export; the first without it. */
      readonly x?: number;
      readonly operations: readonly Operation[];
    }
  /** The export is swapped off; with `keep` every slot stays readable, on the image. */
  | { readonly kind: 'swapoff'; readonly name: string; readonly swapon: boolean; readonly keep: boolean }
  /** The server stops: once the clients have gone the export is drained, and everything is on the disk. */
  | { readonly kind: 'stop'; readonly name: string }
  /** Somebody's store was rejected for want of room: the shrinker's own worker is asked to write pages back. */
  | { readonly kind: 'pressure'; readonly name: string }
  /** Takes something that others wait for, and gives it back: a writeback buffer, or the pin or a claim of slot 1. */
  | { readonly kind: 'holder'; readonly name: string; readonly what: 'buffer' | 'pin' | 'claim' }
  /** Compacts the pool, as the shrinker does when it is sparse. */
  | { readonly kind: 'compactor'; readonly name: string }
  /** memory.reclaim of the memcg that all are below: `bytes` have to leave. */
  | { readonly kind: 'reclaim'; readonly name: string; readonly bytes: number }
  /** /block/<export>/writeback of slots [first, end) of the first export. */
  | { readonly kind: 'write-back'; readonly name: string; readonly first: number; readonly end: number }
  /** The memcg of the first export goes offline, its pages become its parent's, and a new one is made, which may get its row. */
  | { readonly kind: 'offline'; readonly name: string }
  /** The timer of the scrub comes once: it is through the export then, as long as nothing stalls it. Needs checksums. */
  | { readonly kind: 'scrub'; readonly name: string }
  /** The marker of a strict server: as soon as something is known to be lost it is changed. That has to come, so that this ends. */
  | { readonly kind: 'marker'; readonly name: string }
  /** An agent tells of slot 1, report by report: it is number `n`'s since event `event`, or since before anything with 0. */
  | { readonly kind: 'agent'; readonly name: string; readonly reports: readonly Report[] }
  /** The first cgroup that the agent had named is gone, and a new memcg is made, which may get its row. */
  | { readonly kind: 'gone'; readonly name: string }
  /** A WRITE of one page by somebody who sees at any moment which memcg the export is in, as a lane does once it has the pin. */
  | { readonly kind: 'storer'; readonly name: string; readonly slot: number; readonly version: number }
  /** `mustWrite`: it ends with the first page written, and writing none in all its walks is a livelock. */
  | {
      readonly kind: 'walker';
      readonly name: string;
      readonly walks: number;
      readonly mustWrite: boolean;
      /** That of which export. */
      readonly memcg?: number;
    };

/** What the image does wrong. The first calls of a kind fail, of writes those after `okWrites` that don't; reads of each lane. */
export interface ImageFaults {
  readonly okWrites?: number;
  readonly failWrites?: number;
  /** A write that fails has written nothing; without it, half of what it should. */
  readonly intact?: boolean;
  /** A write that fails is answered well: the disk has lied. */
  readonly silent?: boolean;
  readonly failPunches?: number;
  readonly failReads?: number;
  /** A sync fails, and so do all later ones. */
  readonly failSyncs?: boolean;
}

/** Allocators that can have a list of pages. */
export type ListedAllocator = 'zbud' | 'z3fold';

export interface Scenario {
  readonly name: string;
  /** One sentence: what races with what. */
  readonly about: string;
  /** Versions stored before the run starts, coldest first. */
  readonly stored: readonly { readonly slot: number; readonly version: number; readonly x?: number }[];
  /** Exports of one pool, each with its memcg, if more than one. Their limit is memcgMax. */
  readonly exports?: number;
  readonly actors: readonly ActorSpec[];
  /** An agent says whose the slots of the export are: nobody's when the run starts, and two cgroups have memcgs. Needs parentMax. Walkers walk nobody's list, then the first one's. */
  readonly agent?: boolean;
  /** zswap.max of the first cgroup of the agent, in bytes. */
  readonly cgroupMax?: number;
  /** What becomes of dead pages; ignore without it. And whether the page of slot 1 is dead at the end. */
  readonly dead?: DeadPolicy;
  readonly dies?: boolean;
  /** The number that slot 1 begins with. */
  readonly charged?: number;
  /** At the end the page of slot 1, if it is in the pool, is this number's. */
  readonly owned?: number;
  /** A slot that stays pinned, with its page, as long as the run lasts. */
  readonly pinned?: number;
  /** Slots of the export, if fewer than the world has: swapoff looks at each. */
  readonly pages?: number;
  readonly heuristic?: Heuristic;
  /** Compressed bytes that the memcg may have; 1 puts every store at the limit. */
  readonly memcgMax?: number;
  /** Pages that the memcg may have at the end; more are a finding. */
  readonly memcgPages?: number;
  /** All memcgs are below one, which has this limit, and may have `parentPages` pages at the end. */
  readonly parentMax?: number;
  readonly parentPages?: number;
  /** Writeback buffers that are free when the run starts. */
  readonly buffersLeft?: number;
  /** As buffersLeft: buffers of requests, entries, slot records. */
  readonly requestBuffersLeft?: number;
  readonly entriesLeft?: number;
  readonly recordsLeft?: number;
  /** What is stored is stored raw, and each in a zspage that was full of others: the pool is as sparse as can be. */
  readonly sparse?: boolean;
  /** Only a finding met by an actor whose last step was one of these counts: one window of a race that has several. */
  readonly window?: readonly string[];
  /** Kinds of findings that other scenarios are for: they count here only if nothing else is found within the bound. */
  readonly beside?: readonly string[];
  /** With protocol.lru allocator; zbud unless given. */
  readonly allocator?: ListedAllocator;
  /** With protocol.lru allocator: the pool has one page, and stores have that reclaimed. */
  readonly onePage?: boolean;
  /** Calls on the image at once, done last first if there may be several; and what fails. */
  readonly image?: ImageFaults & { readonly parallel?: number };
  /** Errors that a WRITE or a TRIM may be answered with. */
  readonly errors?: readonly number[];
  /** Slots whose version only the image has when the run starts. */
  readonly onImage?: readonly { readonly slot: number; readonly version: number }[];
  /** As onImage, but that the image has lost its write, and has the version before. */
  readonly stale?: readonly { readonly slot: number; readonly version: number }[];
  /** Each page has a checksum: who is called wrong must be wrong, and nothing wrong may be read (world/watched_sums.ts). */
  readonly checksums?: boolean;
  /** The tree has no node to take. */
  readonly noNodes?: boolean;
  /** A slot may be lost to an error of the image: reading it may answer EIO, which is right, and never torn bytes. */
  readonly mayLose?: boolean;
  /** Strict durability: FLUSH is offered. */
  readonly strict?: boolean;
}

/** The first slot that a scenario can use: that of the tree which has its pages. */
export function firstSlot({ stored }: Scenario): number {
  return Math.floor((stored[0]?.slot ?? 0) / TREE_PAGES) * TREE_PAGES;
}

export const write = (slot: number, version: number): Operation => ({ op: 'write', slot, version });
export const read = (slot: number): Operation => ({ op: 'read', slot });
export const trim = (first: number, end = first + 1): Operation => ({ op: 'trim', first, end });

export const writeSlots = (first: number, end: number, version: number): Operation => ({
  op: 'write-slots',
  first,
  end,
  version,
});
export const readSlots = (first: number, end: number): Operation => ({ op: 'read-slots', first, end });
export const writePart = (slot: number): Operation => ({ op: 'write-part', slot });
export function zero(first: number, end: number, { half = false, noHole = false } = {}): Operation {
  return { op: 'zero', first, end, half, noHole };
}
export const flush = (slot: number): Operation => ({ op: 'flush', slot });

export function client(name: string, connection: number, ...operations: Operation[]): ActorSpec {
  return { kind: 'client', name, connection, operations };
}

export function walker(name = 'shrinker', walks = 1, mustWrite = false): ActorSpec {
  return { kind: 'walker', name, walks, mustWrite };
}

export const marker: ActorSpec = { kind: 'marker', name: 'marker' };
export const scrub: ActorSpec = { kind: 'scrub', name: 'scrub timer' };
export const offline: ActorSpec = { kind: 'offline', name: 'offline' };
export function reclaim(bytes: number): ActorSpec {
  return { kind: 'reclaim', name: 'reclaim', bytes };
}
export function writeBack(first: number, end = first + 1): ActorSpec {
  return { kind: 'write-back', name: 'writeback', first, end };
}
export function storer(slot: number, version: number): ActorSpec {
  return { kind: 'storer', name: 'store', slot, version };
}

export const event = (number: number): Operation => ({ op: 'event', event: number });
export const gone: ActorSpec = { kind: 'gone', name: 'gone' };
export function agent(...reports: Report[]): ActorSpec {
  return { kind: 'agent', name: 'agent', reports };
}

export const stop: ActorSpec = { kind: 'stop', name: 'stop' };
export const pressure: ActorSpec = { kind: 'pressure', name: 'pressure' };

export const allocate = (slot: number, connection: number): Operation => ({ op: 'allocate', slot, connection });
export const cut = (connection: number): Operation => ({ op: 'cut', connection });
export const giveUp = (connection: number): Operation => ({ op: 'give-up', connection });

export function swapoff({ swapon = false, keep = false } = {}): ActorSpec {
  const name = `swapoff${keep ? ' --keep' : ''}${swapon ? ', swapon' : ''}`;
  return { kind: 'swapoff', name, swapon, keep };
}
