/**
 * Which changes of one device have to wait for which: of those that share a byte, the later one for the earlier one.
 *
 * The bytes that unfinished changes touch are cut into segments, each owned by the last change that touches it. A new one
 * waits for the owners of what it covers, which wait for whoever came before them, and owns all of it from then on.
 *
 * Invariants:
 * - segments are sorted and do not overlap. A change replaces those that it covers by at most three, so over time a change
 *   costs a binary search, three segments and three links, and to move the segments behind it;
 * - a change that was given up while it waited stays as a link of the chain, without its caller: what came after it still
 *   waits for what came before it. Such links and segments without an owner are cleared away when there are more of them
 *   than of what is unfinished, and 1024. Neither holds the call that it stood for, nor the buffer of that.
 */

/** Left lying at least, so that a device with little to do is not tidied all the time. */
const LITTER = 1024;

export class Change {
  readonly offset: number;
  readonly end: number;
  /** May begin, or has. */
  free = false;
  over = false;
  /** Given up while it waited. */
  hollow = false;
  /** How many it waits for. */
  blockers = 0;
  /** Those that wait for it, the last of them once more. */
  waiters: Change[] = [];
  newest: Change | null = null;
  /** Begins what it stands for, until that is over, or given up. */
  begin: (() => void) | null;

  constructor(offset: number, end: number, begin: () => void) {
    this.offset = offset;
    this.end = end;
    this.begin = begin;
  }
}

interface Segment {
  readonly offset: number;
  readonly end: number;
  readonly owner: Change;
}

export class ChangeOrder {
  /** All that are not over, in the order in which they came. */
  readonly #changes = new Set<Change>();
  #segments: Segment[] = [];
  #hollow = 0;

  /** What it keeps, for whoever wants to see that it is bounded. */
  get size(): number {
    return this.#segments.length + this.#changes.size;
  }

  /** Takes a change in, and tells whether it may begin at once. */
  add(change: Change): boolean {
    this.#changes.add(change);
    this.#link(change);
    change.free = change.blockers === 0;
    return change.free;
  }

  /** A change has ended, or will not begin any more; returns those that may begin now. */
  remove(change: Change): Change[] {
    const freed: Change[] = [];
    // As a link, or as the owner of a segment, it may stay for long.
    change.begin = null;
    if (change.free) {
      this.#end(change, freed);
    } else {
      change.hollow = true;
      this.#hollow++;
    }
    const unfinished = this.#changes.size - this.#hollow;
    if (unfinished === 0) {
      this.#changes.clear();
      this.#segments = [];
      this.#hollow = 0;
    } else if (this.#segments.length + this.#hollow > 4 * unfinished + LITTER) {
      this.#tidy(freed);
    }
    return freed;
  }

  /** A list instead of a recursion, as hollow ones can follow one another in any number. */
  #end(change: Change, freed: Change[]): void {
    const ending = [change];
    for (let ended = ending.pop(); ended !== undefined; ended = ending.pop()) {
      ended.over = true;
      this.#changes.delete(ended);
      for (const waiter of ended.waiters) {
        if (--waiter.blockers > 0) continue;
        if (waiter.hollow) {
          this.#hollow--;
          ending.push(waiter);
        } else {
          waiter.free = true;
          freed.push(waiter);
        }
      }
      ended.waiters = [];
      ended.newest = null;
    }
  }

  /** Forgets what is hollow and who has ended, and links the others as if they came just now. */
  #tidy(freed: Change[]): void {
    this.#segments = [];
    this.#hollow = 0;
    for (const change of this.#changes) {
      if (change.hollow) {
        change.over = true;
        this.#changes.delete(change);
      }
      change.blockers = 0;
      change.waiters = [];
      change.newest = null;
    }
    for (const change of this.#changes) {
      this.#link(change);
      if (change.free || change.blockers > 0) continue;
      change.free = true;
      freed.push(change);
    }
  }

  #link(change: Change): void {
    const segments = this.#segments;
    const first = this.#firstEndingAfter(change.offset);
    let after = first;
    for (; after < segments.length && segments[after].offset < change.end; after++) {
      const { owner } = segments[after];
      if (owner.over || owner.newest === change) continue;
      owner.newest = change;
      owner.waiters.push(change);
      change.blockers++;
    }
    const into: Segment[] = [{ offset: change.offset, end: change.end, owner: change }];
    if (after > first) {
      const [left, right] = [segments[first], segments[after - 1]];
      if (left.offset < change.offset) into.unshift({ offset: left.offset, end: change.offset, owner: left.owner });
      if (right.end > change.end) into.push({ offset: change.end, end: right.end, owner: right.owner });
    }
    segments.splice(first, after - first, ...into);
  }

  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle].end > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
