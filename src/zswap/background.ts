/**
 * The background shrinker (shrinker_enabled): pages leave the pool while the host is short of memory, before a limit is met.
 *
 * The kernel's is called by reclaim, list by list. Here somebody has to look: once in POLL_MS, and if the pressure is there,
 * each memcg in turn gives its share of what it has to offer. A round that is still under way when the next
 * one is due goes on, without the memcg that it waits for: an image that stalls holds up nobody for longer than that.
 * It belongs to the shrinker's thread. A turn is bounded, then the event loop runs.
 */
import { countShrinkable, reachesProtected } from '../pool/held_back.ts';
import { nextHome, TABLE } from '../pool/memcg.ts';
import { C } from './counters.ts';
import type { Reclaim } from './reclaim.ts';
import type { Zswap } from './zswap.ts';

export const POLL_MS = 1000;
/** Batches of a turn, and memcgs that it begins with. */
const STEPS_PER_TURN = 16;
/**
 * The part of the most that it could give since the pressure began which a memcg gives in a round, at least a batch: a pressure
 * that lasts takes all of that in about a minute, and one that is over in between has cost little. Where pages have a second chance
 * a round looks at twice as many, because each is looked at twice before it goes: the first half of that minute takes their chances.
 */
const SHARE = 64;

export class Background {
  private readonly zswap: Zswap;
  private readonly reclaim: Reclaim;
  private readonly batch: number;
  private readonly isPressed: () => boolean;
  /** Of the round under way: memcgs that have not had their turn, the one at work, and entries that it has still to look at. */
  private memcgsLeft = 0;
  private m = 0;
  private toScan = 0;
  private next = 0;
  /** By memcg, the most that it could give since the pressure began. One for each row of the table at most. */
  private readonly most = new Map<number, number>();

  constructor(zswap: Zswap, reclaim: Reclaim, batch: number, isPressed: () => boolean) {
    this.zswap = zswap;
    this.reclaim = reclaim;
    this.batch = batch;
    this.isPressed = isPressed;
  }

  /** To be called every POLL_MS. True: there is something to do. */
  poll(): boolean {
    const { settings, memcgs } = this.zswap;
    const goesOn = settings.shrinkerEnabled && this.isPressed();
    if (!goesOn) {
      this.memcgsLeft = 0;
      this.most.clear();
    } else if (this.memcgsLeft === 0) this.memcgsLeft = memcgs.control[TABLE.HOMES];
    this.toScan = 0;
    return goesOn;
  }

  /** True while there is more that can be done at once. */
  work(): boolean {
    for (let steps = 0; steps < STEPS_PER_TURN; steps++) {
      if (this.toScan <= 0) {
        if (!this.begin()) return false;
      } else if (this.reclaim.isBehind(this.m)) return false;
      else this.scan(Math.min(this.batch, this.toScan));
    }
    return this.toScan > 0 || this.memcgsLeft > 0;
  }

  /** Goes on to the next memcg; false where all have had their turn. */
  private begin(): boolean {
    if (this.memcgsLeft <= 0) return false;
    this.memcgsLeft--;
    const { lru, memcgs, settings } = this.zswap;
    this.m = nextHome(memcgs, this.next);
    this.next = this.m + 1;
    // A list that may not be written back is not counted, so that its swap-ins are not used up.
    if (!this.reclaim.canShrink(this.m)) return true;
    const count = countShrinkable(lru, this.m, settings.heuristic);
    const most = Math.max(count, this.most.get(this.m) ?? 0);
    this.most.set(this.m, most);
    const looks = settings.heuristic === 'second-chance' ? 2 : 1;
    this.toScan = Math.min(count, Math.max(this.batch, Math.ceil((looks * most) / SHARE)));
    return true;
  }

  private scan(entries: number): void {
    const { lru, settings, counters } = this.zswap;
    if (reachesProtected(lru, this.m, settings.heuristic, entries)) {
      this.toScan = 0;
      return;
    }
    const { looked, written, stopped } = this.reclaim.scan(this.m, entries);
    counters[C.pressure_written_back] += written;
    this.toScan = stopped ? 0 : this.toScan - looked;
  }
}
