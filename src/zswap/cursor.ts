/**
 * Which memcg the global worker shrinks next, in the order of rows.
 *
 *   fixed   each that can have pages, in turn, whatever is offline and whoever may not write back
 *   legacy  6.8 to 6.11: each that is online, be there pages or not, with two faults that were mended by c5519e0a9bfb and
 *           81920438a6dc:
 *             a memcg that is offline, and still named, sets the cursor back to the start, so that those behind it starve
 *             one that may not write back ends the run, and one that has nothing counts as a failure (legacy_run.ts)
 */
import { isOnline, MEMCG, type Memcgs, nextHome, ROOT, TABLE, writesBack } from '../pool/memcg.ts';
import type { CursorKind } from '../pool/policies.ts';

/** next(): the cursor has come round, or met a memcg that is offline, and is at the start again. */
export const WENT_BACK = -1;

export class Cursor {
  private readonly memcgs: Memcgs;
  private readonly legacy: boolean;
  private at = ROOT;

  constructor(memcgs: Memcgs, kind: CursorKind) {
    this.memcgs = memcgs;
    this.legacy = kind === 'legacy';
  }

  /** One that goes offline after this has an empty list. */
  next(): number {
    const m = this.legacy ? this.nextLegacy() : nextHome(this.memcgs, this.at);
    this.at = m + 1;
    return m;
  }

  /** Whether the run is over, because of what memcg `m` is. */
  endsRun(m: number): boolean {
    return this.legacy && isOnline(this.memcgs, m) && !writesBack(this.memcgs, m);
  }

  /** A row after the other; those that nobody uses are some 50 us of a full table, and nobody runs this for its speed. */
  private nextLegacy(): number {
    const { control, state } = this.memcgs;
    for (let row = this.at; row < control[TABLE.END]; row++) {
      if (state[row] === MEMCG.OFFLINE) return WENT_BACK;
      if (isOnline(this.memcgs, row)) return row;
    }
    return WENT_BACK;
  }
}
