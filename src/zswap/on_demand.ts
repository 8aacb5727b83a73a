/**
 * Pages that somebody names are written back: those of an export that are idle, raw or in a range (/block/<export>/writeback),
 * and the oldest of a memcg (memory.reclaim with an age). It belongs to the shrinker's thread and takes turns there.
 *
 *   measure   of a memcg: how old a page has to be, so that the coldest go     |  the table of entries,
 *   write     each entry that is wanted, by name: shrinkOne of its protocol    |  in pieces
 *   settle    of an export: the image has, or has refused, what was written
 *
 * The table and not a list is gone through, because a list that is being shrunk has no place to go on from, and young pages
 * would have to be moved to get past them. What is found is a number; the entry protocol looks for it under the lock of its
 * list (victim.ts), and then takes the steps that it takes for every victim.
 *
 * It ends at its deadline, when who asked has gone, where a limit or a budget is used up, and after the last entry: a page
 * that was in use is passed by, and said so in the answer. While its image is behind it rests. One request of an export at a
 * time is for the files to see to (server/block_control.ts); what stands here is bounded by RECLAIMS_MAX.
 */
import type { ImageQueue } from '../image/image_queue.ts';
import type { Loop } from '../os/loop.ts';
import { ageOf } from '../pool/access_time.ts';
import { highWater, lockLives, unlockLives } from '../pool/entries.ts';
import { budgetLeft, countOnDemand, limitLeft } from '../pool/export_accounts.ts';
import { mayWriteBack } from '../pool/export_state.ts';
import { CELL, countEvent, heirOf, writesBack } from '../pool/memcg.ts';
import { SHRINK } from '../protocols/protocol.ts';
import { Asked } from './asked.ts';
import { C } from './counters.ts';
import type { Reclaim } from './reclaim.ts';
import { Ages, isWanted, type Outcome, type Wanted } from './wanted.ts';
import type { Zswap } from './zswap.ts';

/** Entries that are looked at in one step, with the lock of their table held: a microsecond or two. */
const LOOKS = 64;
/** Of all steps of a turn: a millisecond or two. */
const LOOKS_PER_TURN = 16_384;
const VICTIMS_PER_TURN = 256;

interface Request {
  readonly wanted: Wanted;
  readonly done: (outcome: Outcome) => void;
  phase: 'measure' | 'write' | 'settle';
  readonly ages: Ages;
  /** Where it is in the table, and how far it goes: what is stored meanwhile is not what was meant. */
  e: number;
  end: number;
  /** Entries have to be unused since then, in this pass. */
  since: number | null;
  /** Bytes still to go. */
  left: number;
  /** What it will answer, unless something worse comes. */
  outcome: Outcome;
  /** In this pass something was passed by for want of a buffer. */
  behind: boolean;
}

export class OnDemand {
  private readonly zswap: Zswap;
  private readonly reclaim: Reclaim;
  private readonly queues: readonly ImageQueue[];
  private readonly asked: Asked<Request>;
  /** Of the last look: entries, their lives, exports and slots, and the memcgs that they name. */
  private readonly found = {
    e: new Int32Array(LOOKS),
    life: new Uint32Array(LOOKS),
    x: new Uint8Array(LOOKS),
    slot: new Uint32Array(LOOKS),
    m: new Uint16Array(LOOKS),
  };

  /** `schedule`: has turn() called soon. */
  constructor(
    zswap: Zswap,
    reclaim: Reclaim,
    queues: readonly ImageQueue[],
    { loop, schedule }: { readonly loop: Loop; readonly schedule: () => void },
  ) {
    this.zswap = zswap;
    this.reclaim = reclaim;
    this.queues = queues;
    this.asked = new Asked(loop, schedule);
  }

  /** Calls `done` once, never from here; after `ms` at the latest. Returns what ends it before. */
  begin(wanted: Wanted, ms: number, done: (outcome: Outcome) => void): () => void {
    const ofMemcg = 'm' in wanted;
    const request: Request = {
      ...{ wanted, done, phase: ofMemcg ? 'measure' : 'write', ages: new Ages() },
      ...{ e: 1, end: highWater(this.zswap.entries), since: wanted.unusedSince },
      ...{ left: ofMemcg ? wanted.bytes : Number.POSITIVE_INFINITY, outcome: ofMemcg ? 'less' : 'done', behind: false },
    };
    return this.asked.begin(request, ms, () => this.end(request, 'time'));
  }

  get waits(): boolean {
    return this.asked.waits;
  }

  close(): void {
    this.asked.close();
  }

  /** True while there is more that can be done at once. */
  turn(): boolean {
    const budget = { looks: LOOKS_PER_TURN, victims: VICTIMS_PER_TURN };
    return this.asked.turn(
      () => budget.looks > 0 && budget.victims > 0,
      (request) => this.step(request, budget),
    );
  }

  /** False: nothing can be done before an image gives buffers back, or has had what it was given. */
  private step(request: Request, budget: { looks: number; victims: number }): boolean {
    const over = (): boolean => request.phase === 'settle' || !this.asked.has(request);
    if (over()) return false;
    budget.looks -= LOOKS;
    const found = this.find(request);
    for (let i = 0; i < found && !over(); i++) {
      budget.victims--;
      if (this.write(request, i)) continue;
      // It was not tried, and is the next one again.
      request.e = this.found.e[i];
      return false;
    }
    return over() || request.e < request.end ? !over() : this.endPass(request) && !over();
  }

  /** Looks at the next entries, and answers how many are wanted; those that are measured are only added up. */
  private find(request: Request): number {
    const { found, zswap } = this;
    const { entries, memcgs } = zswap;
    const { clock } = zswap.shared;
    const end = Math.min(request.end, request.e + LOOKS);
    let count = 0;
    lockLives(entries);
    for (; request.e < end; request.e++) {
      const { e } = request;
      if (!isWanted(request.wanted, request.since, entries, memcgs, clock, e)) continue;
      if (request.phase === 'measure') request.ages.add(ageOf(clock, entries.accessed[e]), entries.length[e]);
      else {
        found.e[count] = e;
        found.life[count] = entries.generation[e];
        found.x[count] = entries.volume[e];
        found.slot[count] = entries.slot[e];
        found.m[count++] = entries.memcg[e];
      }
    }
    unlockLives(entries);
    return count;
  }

  /** One page of those that were found. False: its export has no buffer for it now. */
  private write(request: Request, i: number): boolean {
    const { zswap, reclaim, found } = this;
    const { memcgs, settings } = zswap;
    const { accounts, clock, states } = zswap.shared;
    const { wanted } = request;
    const x = found.x[i];
    // It was only being stored, and with debug.oracle had the fields of what is freed.
    if (x >= settings.exports.length) return true;
    const m = heirOf(memcgs, found.m[i]);
    if (!writesBack(memcgs, m)) return true;
    const ofExport = 'x' in wanted;
    if (!mayWriteBack(states, x)) return ofExport ? this.settle(request, 'off') : true;
    const { budget } = settings.exports[x];
    if (ofExport && limitLeft(accounts, x) === 0) return this.settle(request, 'limit');
    if (ofExport && budgetLeft(accounts, x, budget, clock) === 0) return this.settle(request, 'budget');
    const result = reclaim.lacksBuffers(x)
      ? SHRINK.ENOMEM
      : reclaim.shrinkNamed(m, found.e[i], found.life[i], x, found.slot[i]);
    if (result === SHRINK.ENOMEM) {
      // Pages of another export may have buffers, so that a memcg's go on without those of this one.
      request.behind = true;
      return !ofExport;
    }
    if (result === SHRINK.EEXIST && request.outcome === 'done') request.outcome = 'busy';
    if (result === SHRINK.EIO && ofExport) request.outcome = 'unreadable';
    if (result !== SHRINK.WRITTEN) return true;
    if (ofExport) {
      countOnDemand(accounts, x, budget, clock);
      zswap.counters[C.asked_written_back]++;
      return true;
    }
    countEvent(memcgs, zswap.thread, m, CELL.PROACTIVE, zswap.lastBytes);
    zswap.counters[C.zswpwb_proactive_b] += zswap.lastBytes;
    request.left -= zswap.lastBytes;
    if (request.left <= 0) this.end(request, 'done');
    return true;
  }

  /** False: what is left waits for buffers. */
  private endPass(request: Request): boolean {
    const { wanted, since, phase, behind } = request;
    if ('x' in wanted) return this.settle(request, request.outcome);
    const measured = phase === 'measure';
    if (measured) request.since = request.ages.coldest(this.zswap.shared.clock, wanted.unusedSince, request.left);
    else request.since = wanted.unusedSince;
    // What was measured as cold may have been used since then, or freed, or its image may be behind: what is less cold makes up
    // for it.
    if (measured || since !== request.since || behind) Object.assign(request, { phase: 'write', e: 1, behind: false });
    else this.end(request, 'less');
    return measured || since !== request.since || !behind;
  }

  /** Nothing more is begun; the answer comes when the image has had what was. */
  private settle(request: Request, outcome: Outcome): true {
    request.phase = 'settle';
    request.outcome = outcome;
    const { wanted } = request;
    const queue = 'x' in wanted ? this.queues[wanted.x] : null;
    queue?.push('mark', 0, 0, 0, () => {
      if (!this.asked.has(request)) return;
      this.end(request, queue.parkedPages > 0 ? 'failed' : request.outcome);
    });
    return true;
  }

  private end(request: Request, outcome: Outcome): void {
    this.asked.end(request);
    request.done(outcome);
  }
}
