/**
 * swapoff of one export: what is in the pool is discarded by the chosen swapoff protocol, while writeback may be running.
 *
 *   closing (no more writes) -> writes that are under way end -> slot 0, or with `keep` everything, is copied to the image
 *   -> slice by slice, of those that hold anything: range claim, wait for the pins in it, users := 0, discard
 *   -> claim of all slots, wait for all pins: trees freed -> punch -> off
 *
 * Slot 0 is the header that the next swapon reads: it stays, on the image. With `keep` every slot does, and nothing is
 * punched. swapoff waits for pins and for image operations by parking, and for writeback as its protocol says. Between the
 * discards and the freeing of the trees it asks nothing of the shrinker's thread: an answer would mean that no writeback is
 * under way, and every protocol would look safe.
 *
 * What it costs follows what is there: a slice without a slot in use or an entry is passed by unclaimed, and in the others
 * only slots in use are asked for pins. From the end of the writes on no bit is set and no entry is stored any more:
 *   1. a WRITE or TRIM finds the export on   2. we close it   3. its pin or claim was there before 1: we wait for its end
 *   1. we close the export   2. a WRITE or TRIM pins or claims   3. it finds the export off, and changes nothing
 * So what was passed by stays empty, and the words of `users` of a tree are, before the first discard in it, those of the
 * end of the writes, whichever slice that is. A pin of a slot that nobody uses is of somebody who goes away with nothing
 * (a READ or a writeback asks for the bit again, a WRITE for the state); before the trees go all pins are waited for.
 *
 * Lock order: range claim -> tree.lock -> lru.lock -> allocator.
 */
import { clearBit, findBit } from '../pool/bits.ts';
import { anyClaimed, claim, noClaim, release, stands } from '../pool/claims.ts';
import { POOL } from '../pool/counters.ts';
import { NONE } from '../pool/entries.ts';
import { enter, STATE } from '../pool/export_state.ts';
import { SLICE_SLOTS, TREE_PAGES } from '../pool/limits.ts';
import { EEXIST } from '../pool/slots.ts';
import { get, isEmpty, lockTree, reviveTree, treeOf, unlockTree } from '../pool/tree.ts';
import { firstEntry } from '../pool/tree_walk.ts';
import * as sync from '../shm/sync.ts';
import type { Parkable } from './lane.ts';
import { type Discarded, type PunchHost, SwapoffPunch } from './swapoff_punch.ts';
import type { Zswap } from './zswap.ts';

/** What swapoff needs of its thread and of the thread that owns the images. */
export interface SwapoffHost extends PunchHost {
  /** resume() is called again when this thread is woken. */
  park(waiting: Parkable): void;
  /** Copies stored pages to the image, slot 0 or all; `done` is called later. */
  copyOut(x: number, all: boolean, done: (errno: number) => void): void;
}

export class SwapoffOp implements Parkable {
  private readonly host: SwapoffHost;
  private readonly zswap: Zswap;
  private readonly x: number;
  private readonly pages: number;
  private readonly keep: boolean;
  private readonly done: (errno: number) => void;
  /** Slots that were pinned when the export closed, with the last writes among them; later, when its trees are to go. */
  private pinned: number[] = [];
  private cursor = 0;
  private readonly claim = noClaim();
  /** Slots of the claimed slice below this one were seen without a pin, which is enough, as in RangeOp. */
  private unpinned = 0;
  /** The trees that held anything. */
  private readonly discarded: Discarded[] = [];
  /** Stored pages that the discards freed, without slot 0's if the image has got it for good. */
  private erased = 0;
  private next: () => void;
  /** What the image was told to forget, and has not; to be asked for again. */
  refused: readonly Discarded[] = [];

  /**
   * `done` gets 0, or the error of the image. After an error before the first discard the export is on again; after one behind
   * it, it is off, and some of what it held is `refused`.
   */
  constructor(host: SwapoffHost, x: number, keep: boolean, done: (errno: number) => void) {
    this.host = host;
    this.zswap = host.zswap;
    this.x = x;
    this.pages = host.zswap.settings.exports[x].pages;
    this.keep = keep;
    this.done = done;
    this.next = () => this.close();
  }

  get freed(): number {
    return Math.max(0, this.erased);
  }

  resume(): void {
    this.next();
  }

  private close(): void {
    enter(this.zswap.shared.states, this.x, this.keep ? STATE.KEEPING : STATE.SWAPPING_OFF);
    this.pinned = this.pinnedSlots();
    this.next = () => this.waitForWrites();
    this.next();
  }

  private pinnedSlots(): number[] {
    const { t } = this.zswap.slots;
    const pinned: number[] = [];
    // A hint without the buckets' locks: who does not see what we stored before (the state, or the claim) has pinned, and
    // unlocked his bucket, before that, so his record can be read here; a record that changes meanwhile is of somebody who
    // will see it.
    for (let r = 1; r < t.locked.length; r++) {
      if (sync.load(t.locked, r) !== 0 && t.volume[r] === this.x) pinned.push(t.slot[r]);
    }
    return pinned;
  }

  private waitForWrites(): void {
    const { shared, thread } = this.zswap;
    this.pinned = this.pinned.filter((slot) => !this.takeTurn(slot));
    // A TRIM that was under way decides at its end what its slots are, used and lost if its punch fails:
    //   1. a TRIM clears its slots' bits, and its punch is queued   2. we note which slots are in use   3. the punch fails, and the
    //   slots are lost   4. we discard them, and would not punch what the image still has of them
    if (this.pinned.length > 0 || anyClaimed(shared.claims, this.x, thread)) {
      this.host.park(this);
      return;
    }
    this.next = () => this.discard();
    if (!this.keep && !this.headerIsStored()) {
      this.next();
      return;
    }
    if (!this.keep) this.erased = -1;
    this.host.copyOut(this.x, this.keep, (errno) => {
      if (errno !== 0) {
        enter(this.zswap.shared.states, this.x, STATE.SERVING);
        this.done(errno);
        return;
      }
      this.next();
    });
  }

  /**
   * Has the slot's pin for a moment: who held it when the export closed is gone then. To look whether it is held is not enough:
   *   1. a READ drops the pin, and hands it to another that has waited   2. we are woken, and find it held   3. the first READ's
   *   client asks for the slot again, and waits   4. the second READ drops the pin, and so on
   */
  private takeTurn(slot: number): boolean {
    const { slots } = this.zswap;
    const r = slots.pinInTurn(this.x, slot);
    if (r > 0) slots.unpin(r);
    // Without a record for the slot nobody holds it.
    return r !== EEXIST;
  }

  private headerIsStored(): boolean {
    const { trees } = this.zswap;
    const tree = treeOf(trees, this.x, 0);
    lockTree(trees, tree);
    const e = get(trees, tree, 0);
    unlockTree(trees, tree);
    return e !== NONE;
  }

  /** Up to the end of a tree, then others get their turn. */
  private discard(): void {
    while (this.cursor < this.pages) {
      const end = this.endOfTree();
      if (!stands(this.claim)) this.cursor = this.nextSlice(end);
      if (this.cursor < end && !this.discardSlice()) return;
      if (this.cursor === end && end < this.pages) {
        this.host.defer(() => this.next());
        return;
      }
    }
    this.next = () => this.free();
    this.next();
  }

  /**
   * A READ that has found its slot in use, or whose slot stays in use, may have pinned it after its slice was discarded, and
   * be on its way to the tree. Only who pins after the claim finds the export off, and goes to the image.
   */
  private free(): void {
    const { zswap, x } = this;
    const { claims, states, boxes } = zswap.shared;
    if (!stands(this.claim) && claim(claims, x, 0, this.pages, zswap.thread, this.claim))
      this.pinned = this.pinnedSlots();
    this.pinned = this.pinned.filter((slot) => zswap.slots.isPinned(x, slot));
    if (!stands(this.claim) || this.pinned.length > 0) {
      this.host.park(this);
      return;
    }
    zswap.protocols.swapoff.freeTrees(zswap, x);
    enter(states, x, STATE.PUNCHING);
    release(claims, this.claim, boxes);
    new SwapoffPunch(this.host, x, this.discarded, (errno, refused) => {
      this.refused = refused;
      this.done(errno);
    }).next();
  }

  /** The slice of the first slot from the cursor on that is in use or has an entry, or `end`, the tree's. */
  private nextSlice(end: number): number {
    const { zswap, x, cursor } = this;
    const { trees } = zswap;
    const tree = treeOf(trees, x, cursor);
    let held = findBit(zswap.shared.users, x, cursor, end, true);
    if (!isEmpty(trees, tree)) {
      lockTree(trees, tree);
      held = firstEntry(trees, tree, cursor, held);
      unlockTree(trees, tree);
    }
    return held === end ? end : held - (held % SLICE_SLOTS);
  }

  private endOfTree(): number {
    return Math.min(this.pages, (Math.floor(this.cursor / TREE_PAGES) + 1) * TREE_PAGES);
  }

  /** The slice at the cursor. False when it has to wait. */
  private discardSlice(): boolean {
    const { zswap, x, cursor } = this;
    const { claims, users, lost } = zswap.shared;
    const end = Math.min(this.pages, cursor + SLICE_SLOTS);
    const claimed = stands(this.claim) || claim(claims, x, cursor, end, zswap.thread, this.claim);
    if (!claimed || this.anyPinned(end)) {
      this.host.park(this);
      return false;
    }
    if (!this.keep) {
      this.noteUsers();
      for (let slot = findBit(users, x, Math.max(1, cursor), end, true); slot < end; ) {
        clearBit(users, x, slot);
        clearBit(lost, x, slot);
        zswap.sums.forget(x, slot);
        zswap.slots.dropPageOf(x, slot);
        slot = findBit(users, x, slot + 1, end, true);
      }
    }
    // This thread's own count: nothing else of it runs in between.
    const before = zswap.counters[POOL.stored_pages];
    zswap.protocols.swapoff.discard(zswap, x, cursor, end, zswap.protocols.invalidate);
    this.erased += before - zswap.counters[POOL.stored_pages];
    release(claims, this.claim, zswap.shared.boxes);
    this.cursor = end;
    return true;
  }

  /** Before the first discard in a tree. */
  private noteUsers(): void {
    const first = this.cursor - (this.cursor % TREE_PAGES);
    if (this.discarded.at(-1)?.first === first) return;
    this.discarded.push({
      first,
      users: this.zswap.shared.users.words[this.x].slice(first >>> 5, (this.endOfTree() + 31) >>> 5),
    });
  }

  /**
   * With the slice claimed. Nobody slips in behind the look: whoever pins looks at the claims after that.
   *   1. a READ pins slot n   2. we claim   3. we find its pin, and are woken when it goes
   *   1. we claim   2. we find n unpinned   3. a READ pins n, finds the claim and undoes its pin   4. we discard n
   *   1. a READ pins n   2. we claim   3. it finds the claim and undoes its pin   4. we find n unpinned, or are woken
   */
  private anyPinned(end: number): boolean {
    const { users } = this.zswap.shared;
    for (this.unpinned = Math.max(this.unpinned, this.cursor); ; this.unpinned++) {
      this.unpinned = findBit(users, this.x, this.unpinned, end, true);
      if (this.unpinned === end) return false;
      if (this.zswap.slots.isPinned(this.x, this.unpinned)) return true;
    }
  }
}

/** swapon: the export gets new trees and takes writes again. */
export function swapon(zswap: Zswap, x: number): void {
  const { base } = zswap.trees;
  enter(zswap.shared.states, x, STATE.SWAPPING_ON);
  for (let tree = base[x]; tree < base[x + 1]; tree++) reviveTree(zswap.trees, tree);
  enter(zswap.shared.states, x, STATE.SERVING);
}
