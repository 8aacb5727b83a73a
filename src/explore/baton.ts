/**
 * The explorer's hook on the synchronisation façade: one thread's end of the baton.
 *
 * Exactly one thread moves. At each point the moving thread itself decides who moves next (chooser.ts), so going on costs
 * nothing and a switch costs one wake-up. Locks need no waiting: whoever would wait is not enabled.
 *
 * Besides, it learns for each word which actors touched it and under which locks. A word that only one actor touches, that
 * nobody writes, or that is always under the same lock can't tell two orders apart, so a search may pass it by.
 */
import * as sync from '../shm/sync.ts';
import { deadlockText } from './deadlock.ts';
import { B, type Board, GO, HELD_MAX, LOCK_IDS, POSITIONS_MAX, RETRIES_MAX, STATE, writeLine } from './run_state.ts';
import { chooseAt, chooseOther, NOBODY } from './schedule/chooser.ts';
import { remember, rememberStep } from './search/history.ts';
import { place } from './source_lines.ts';
import { FreedSlots } from './world/freed_slots.ts';
import type { WordPlace, Words } from './world/word_names.ts';

/** Thrown through the code under test to end its run. No error: nobody reads its stack, and each run would make one. */
export class Abort {}

export class Baton implements sync.Hook {
  readonly board: Board;
  readonly words: Words;
  readonly me: number;
  private readonly ctl: Int32Array;
  private readonly freed = new FreedSlots();
  /** Nothing was done since the last step label. */
  private atStep = false;
  /** Nothing was done since the last unlock. */
  private unlocked = false;
  private lastStep = '';
  /** Names of switches that were looked at, by bit of the CONSULTED word. */
  consultNames: readonly string[] = [];

  constructor(board: Board, words: Words, me: number) {
    this.board = board;
    this.words = words;
    this.me = me;
    this.ctl = board.ctl;
  }

  point(op: string, words: Int32Array | null, index: number): void {
    if (words === null) {
      this.decide(true);
      this.atStep = true;
      this.lastStep = op;
      rememberStep(this.board, this.me);
      this.ctl[B.STEPS]++;
      if (this.ctl[B.VERBOSE] === 1) this.line('step', op, place());
      return;
    }
    const at = this.words.places.get(words);
    if (at === undefined) return;
    this.touch(at, index, op !== 'load');
    this.decide(this.isChoice(at, index));
    if (op === 'and' && this.ctl[B.VERBOSE] === 1 && this.words.isUsers(at)) this.freed.expect(words, index);
    remember(this.board, this.me, at.base + index, op !== 'load', op === 'store' ? 0 : words[index]);
  }

  lock(words: Int32Array, index: number): void {
    const at = this.placeOf(words);
    this.touch(at, index, true);
    if (words[index] === 0) this.decide(this.isChoice(at, index));
    while (words[index] !== 0) {
      if (words[index] === this.me + 1) this.violate('deadlock', `${this.words.name(at.array, index)} is taken twice`);
      this.block(STATE.LOCK, at.array, index, 0);
    }
    this.take(words, at, index);
  }

  tryLock(words: Int32Array, index: number): boolean {
    const at = this.placeOf(words);
    this.touch(at, index, true);
    this.decide(this.isChoice(at, index));
    if (words[index] !== 0) {
      remember(this.board, this.me, at.base + index, false, words[index]);
      return false;
    }
    this.take(words, at, index);
    return true;
  }

  unlock(words: Int32Array, index: number): void {
    const at = this.placeOf(words);
    if (words[index] !== this.me + 1) {
      this.violate('lock', `${this.words.name(at.array, index)} is unlocked by a thread that does not hold it`);
    }
    // What follows an unlock and touches nothing shared may as well come before it, so only a full search stops here;
    // any other stops at the first plain access after it (plain()).
    this.decide(this.ctl[B.ALL] === 1);
    words[index] = 0;
    remember(this.board, this.me, at.base + index, true, 0);
    this.forget(at, index);
    this.unlocked = true;
  }

  retry(words: Int32Array, index: number, seen: number): void {
    const at = this.placeOf(words);
    this.touch(at, index, false);
    if (++this.ctl[B.RETRIES] > RETRIES_MAX) this.violate('livelock', `more than ${RETRIES_MAX} retries`);
    if (words[index] !== seen) this.decide(this.isChoice(at, index));
    // Whoever goes on from here finds the word changed, with nobody in between.
    while (words[index] === seen) this.block(STATE.RETRY, at.array, index, seen);
    remember(this.board, this.me, at.base + index, false, words[index]);
  }

  /** An entry's fields are going to be read or written: after an unlock somebody may have come in between. */
  plain(): void {
    if (this.unlocked) this.pause();
  }

  held(words: Int32Array, index: number): void {
    if (words[index] === this.me + 1) return;
    const at = this.placeOf(words);
    this.violate('data race', `plain access without ${this.words.name(at.array, index)}`);
  }

  consult(name: string): void {
    const bit = this.consultNames.indexOf(name);
    if (bit >= 0) this.ctl[B.CONSULTED] |= 1 << bit;
  }

  begin(): void {
    this.atStep = false;
    this.lastStep = '';
    this.unlocked = false;
    this.freed.take();
    rememberStep(this.board, this.me);
  }

  /** A step of the actor itself: shown in a trace, not counted as a step of a protocol. */
  note(text: string): void {
    this.tell();
    if (this.ctl[B.VERBOSE] === 1) this.line('note', text);
  }

  /** A point where every search considers a switch, and what was looked at before it is old after it. */
  pause(): void {
    this.decide(true);
    // Else the next point would look like this one.
    rememberStep(this.board, this.me);
  }

  /** Ends the run with a finding. */
  violate(kind: string, text: string): never {
    // While a run is being ended, threads unwind side by side; what they meet then is no finding.
    if (this.ctl[B.ABORT] === 0) {
      this.tell();
      writeLine(this.board, { actor: this.me, kind: 'violation', class: kind, text, step: this.lastStep });
      this.end();
    }
    throw new Abort();
  }

  /** This actor has nothing more to do. */
  finish(): void {
    this.tell();
    this.ctl[B.STATE + this.me] = STATE.DONE;
    const next = chooseOther(this.board, this.words, this.me);
    if (next === NOBODY) this.over();
    else if (this.ctl[B.KNOWN] === 1) this.end();
    else this.pass(next);
  }

  private decide(choice: boolean): void {
    const { ctl } = this;
    this.unlocked = false;
    if (ctl[B.ABORT] === 1) throw new Abort();
    this.tell();
    if (ctl[B.POSITION] >= POSITIONS_MAX) this.violate('livelock', `more than ${POSITIONS_MAX} scheduling points`);
    const next = chooseAt(this.board, this.words, this.me, choice);
    this.leaveKnown();
    if (next !== this.me) this.handOver(next);
  }

  private block(state: number, array: number, index: number, seen: number): void {
    const { ctl, me } = this;
    if (ctl[B.ABORT] === 1) throw new Abort();
    this.tell();
    ctl[B.STATE + me] = state;
    ctl[B.WAIT_ARRAY + me] = array;
    ctl[B.WAIT_INDEX + me] = index;
    ctl[B.WAIT_SEEN + me] = seen;
    const next = chooseOther(this.board, this.words, me);
    if (next === NOBODY) {
      this.over();
      throw new Abort();
    }
    this.leaveKnown();
    if (next !== me) this.handOver(next);
    ctl[B.STATE + me] = STATE.RUNNABLE;
  }

  /** Ends a run that has come to where another has been. */
  private leaveKnown(): void {
    if (this.ctl[B.KNOWN] === 0) return;
    this.end();
    throw new Abort();
  }

  /** No actor is enabled: the end, or a deadlock. */
  private over(): void {
    const text = deadlockText(this.board, this.words);
    if (text !== null) writeLine(this.board, { actor: this.me, kind: 'violation', class: 'deadlock', text });
    this.end();
  }

  private end(): void {
    const { ctl, me } = this;
    ctl[B.ABORT] = 1;
    sync.unhooked.store(ctl, B.ENDED, 1);
    for (let i = 0; i < ctl[B.ACTORS]; i++) {
      if (i !== me && ((ctl[B.STARTED] >>> i) & 1) === 1 && ctl[B.STATE + i] !== STATE.DONE) this.pass(i);
    }
  }

  private pass(next: number): void {
    sync.unhooked.store(this.ctl, B.GO + next, GO.TURN);
    sync.notify(this.ctl, B.GO + next);
  }

  private handOver(next: number): void {
    const { ctl, me } = this;
    this.pass(next);
    while (sync.unhooked.load(ctl, B.GO + me) !== GO.TURN) {
      sync.sleep(ctl, B.GO + me, GO.NONE, Number.POSITIVE_INFINITY);
    }
    ctl[B.GO + me] = GO.NONE;
    if (ctl[B.ABORT] === 1) throw new Abort();
  }

  private placeOf(words: Int32Array): WordPlace {
    const at = this.words.places.get(words);
    if (at === undefined) throw new Error('a lock or a retry on a word that the explorer does not know');
    return at;
  }

  /** Right after a step nothing has been done since that choice, so it is not made again. */
  private isChoice(at: WordPlace, index: number): boolean {
    const { atStep } = this;
    this.atStep = false;
    return this.ctl[B.ALL] === 1 || (!atStep && this.board.choice[at.base + index] === 1);
  }

  private touch(at: WordPlace, index: number, writes: boolean): void {
    const { ctl, me, board } = this;
    if (ctl[B.LEARN] === 0) return;
    const word = at.base + index;
    const touched = board.touched[word] | (1 << me);
    const written = board.written[word] | (writes ? 1 << me : 0);
    const lockset = board.lockset[word] & ctl[B.LOCKSET + me];
    if (touched === board.touched[word] && written === board.written[word] && lockset === board.lockset[word]) return;
    [board.touched[word], board.written[word], board.lockset[word]] = [touched, written, lockset];
    ctl[B.LEARNED] = 1;
  }

  private take(words: Int32Array, at: WordPlace, index: number): void {
    const { ctl, me, board } = this;
    words[index] = me + 1;
    remember(board, me, at.base + index, true, 0);
    const held = ctl[B.HELD + me]++;
    if (held >= HELD_MAX) this.violate('lock', `more than ${HELD_MAX} locks held`);
    board.held[(me * HELD_MAX + held) * 2] = at.array;
    board.held[(me * HELD_MAX + held) * 2 + 1] = index;
    if (board.lockIds[at.base + index] === 0) {
      board.lockIds[at.base + index] = Math.min(LOCK_IDS + 1, ++ctl[B.LOCKS]);
    }
    ctl[B.LOCKSET + me] |= this.lockBit(at.base + index);
  }

  private forget(at: WordPlace, index: number): void {
    const { ctl, me, board } = this;
    const last = ctl[B.HELD + me] - 1;
    for (let k = last; k >= 0; k--) {
      const here = (me * HELD_MAX + k) * 2;
      if (board.held[here] !== at.array || board.held[here + 1] !== index) continue;
      board.held.copyWithin(here, here + 2, (me * HELD_MAX + last + 1) * 2);
      break;
    }
    ctl[B.HELD + me] = last;
    ctl[B.LOCKSET + me] &= ~this.lockBit(at.base + index);
  }

  /** Locks beyond the ids have no bit: what they protect counts as unprotected, which only adds choices. */
  private lockBit(word: number): number {
    const id = this.board.lockIds[word];
    return id > LOCK_IDS ? 0 : 1 << (id - 1);
  }

  /** What the operation before did to slots, before anybody else can move. */
  private tell(): void {
    if (!this.freed.isExpecting) return;
    for (const slot of this.freed.take()) this.line('note', `slot ${slot} is free`);
  }

  private line(kind: 'step' | 'note', text: string, at?: string): void {
    writeLine(this.board, { actor: this.me, kind, text, ...(at === undefined ? {} : { at }) });
  }
}
