/** What the threads say to each other by messages: start, hand-over of sockets, stop, drain. Pages go by shared memory. */
import type { FaultsInForce } from '../faults/gate.ts';
import type { ImageTraffic } from '../image/counted_image.ts';
import type { Shared } from '../pool/shared.ts';
import type { Tier } from '../zswap/outward.ts';
import type { BatchResult, ReportBatch } from '../zswap/reports.ts';
import type { Outcome, WantedOfExport } from '../zswap/wanted.ts';
import type { Places } from './places.ts';
import type { ThreadSettings } from './settings.ts';
import type { TunableCells } from './tunables.ts';

/**
 * What a thread is given at its start, whichever its role: the memory that all share, which has the pool's settings, and
 * everything else that is set (settings.ts). Nothing reaches a thread in another way.
 */
export interface ThreadData {
  readonly thread: number;
  readonly shared: Shared;
  readonly places: Places;
  /** What can be changed while the thread runs (tunables.ts); `shared.settings` has its values. */
  readonly cells: TunableCells;
  readonly traffic: ImageTraffic;
  readonly settings: ThreadSettings;
}

/** The fault plan that is in force from here on, in place of the one before; null: none. */
interface ToFaulty {
  readonly type: 'faults';
  readonly faults: FaultsInForce | null;
}

export type ToLane =
  | ToFaulty
  /** `listener`: which one it came from; both numbers are said again when it has chosen its export and when it ends. */
  | { readonly type: 'socket'; readonly fd: number; readonly listener: number; readonly connection: number }
  /** A connection ends now if it is in its handshake. */
  | { readonly type: 'drop'; readonly connection: number }
  | { readonly type: 'stop' }
  /** The deadline of the stop is over: what connections there are end now. */
  | { readonly type: 'cut' };

/** A page was not what slot `slot` was last acknowledged to hold; `m` is the memcg of the slot. The first few of a thread. */
export interface Mismatch {
  readonly type: 'mismatch';
  readonly x: number;
  readonly slot: number;
  readonly m: number;
  readonly tier: Tier;
  /** Seconds since the page was stored or used, where that is known: of what was found in the pool. */
  readonly age: number | null;
}

export type FromLane =
  | { readonly type: 'ready' }
  /** A connection was taken on, and its client has been greeted. */
  | { readonly type: 'greeted' }
  /** A client was turned away, because its export has no place left (places.ts). */
  | { readonly type: 'crowded'; readonly x: number }
  /** A connection has chosen its export, or has ended. */
  | { readonly type: 'chosen' | 'ended'; readonly listener: number; readonly connection: number }
  | Mismatch
  /** The stop has reached the lane: no connection of it comes to an export any more. */
  | { readonly type: 'stopping' }
  /** Every connection is closed, after a stop. */
  | { readonly type: 'stopped' };

export type ToShrinker =
  | ToFaulty
  | { readonly type: 'drain'; readonly x: number }
  /** For swapoff: copy slot 0, or everything stored, to the image. */
  | { readonly type: 'copyOut'; readonly x: number; readonly all: boolean }
  /** For swapoff: punch slots, after everything queued. */
  | { readonly type: 'punch'; readonly x: number; readonly first: number; readonly count: number }
  /**
   * For memory.reclaim: write back so many bytes of memcg `m` and what is below it, in `ms` milliseconds; of pages that were not
   * used since a tick, if one is given. For /block/<export>/writeback: what is wanted. And end one of them.
   */
  | {
      readonly type: 'reclaim';
      readonly id: number;
      readonly m: number;
      readonly bytes: number;
      readonly unusedSince: number | null;
      readonly ms: number;
    }
  | { readonly type: 'writeBack'; readonly id: number; readonly wanted: WantedOfExport; readonly ms: number }
  | { readonly type: 'endAsked'; readonly id: number }
  /** What an agent says of slots of its export, one batch of an export at a time. */
  | { readonly type: 'report'; readonly batch: ReportBatch }
  | { readonly type: 'vouched'; readonly x: number; readonly errno: number }
  | { readonly type: 'close' };

export type FromShrinker =
  | { readonly type: 'ready' }
  /** Of a drain. `failed`: refused by the image in the try at hand. */
  | {
      readonly type: 'progress';
      readonly x: number;
      readonly done: number;
      readonly total: number;
      readonly failed: number;
    }
  /** `failed`: without those that are lost, which are counted where they are. */
  | { readonly type: 'drained'; readonly x: number; readonly failed: number; readonly errno: number }
  | { readonly type: 'copied'; readonly x: number; readonly errno: number }
  | { readonly type: 'punched'; readonly x: number; readonly errno: number }
  | { readonly type: 'reclaimed'; readonly id: number; readonly errno: number }
  | { readonly type: 'wroteBack'; readonly id: number; readonly outcome: Outcome }
  | { readonly type: 'applied'; readonly x: number; readonly result: BatchResult }
  | Mismatch
  /** The marker of an export has to say what is known (zswap/vouch.ts); each is answered with 'vouched', in order. */
  | { readonly type: 'vouch'; readonly x: number }
  | { readonly type: 'imageError'; readonly x: number; readonly what: string; readonly errno: number }
  /** shrinker_enabled is on and does nothing, because nobody can tell whether the host is short of memory. */
  | { readonly type: 'noPressure'; readonly why: string }
  | { readonly type: 'closed' };
