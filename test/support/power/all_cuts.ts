/**
 * Looks at a life from all sides: at every place of its log where power may be lost, at every state of names, sizes, attributes and
 * markers that there may be then, and at everything that each block may hold. Blocks don't depend on each other, so what
 * each of them may hold one by one is all that they may hold together; a torn one is made of the same.
 */
import { createHash } from 'node:crypto';
import type { DeviceHistory } from '../slot_history.ts';
import type { BytesEffect, DiskFile, DiskLog, Effect } from './disk_log.ts';
import { type LostState, lasts, statesAround } from './lost.ts';
import type { Decision } from './start_path.ts';

const PAGE = 4096;

export interface Lived {
  readonly log: DiskLog;
  /** The place where the life began. */
  readonly from: number;
  readonly history: DeviceHistory;
  /** Path of the image. */
  readonly image: string;
  /** Whether a start may be refused afterwards: a volatile server makes no promise. */
  readonly mayRefuse: boolean;
  /** What it began on was stale, so nothing but a clean stop may have it served again. */
  readonly stale: boolean;
  /** It ended with a clean stop: behind it there is no word to be said. */
  readonly stopped: boolean;
  /** Half of it may be discarded, so a start with a word vouches for what was there before. */
  readonly discards: boolean;
  /** Of a state without the bytes of the image. */
  readonly decide: (state: LostState) => Decision;
}

export interface Cut {
  readonly place: number;
  /** All that was answered before this moment was answered before the power was lost. */
  readonly at: number;
}

export interface Looked {
  readonly cuts: number;
  /** Different states of everything but the bytes of the image. */
  readonly states: number;
  readonly starts: Readonly<Record<Decision['start'], number>>;
  /** In words, the first few. */
  readonly faults: string[];
}

const FAULTS_MAX = 5;
/** Nothing but the first version. */
const FIRST = { from: 0, end: 1 };

/** The cut behind a place, and all that can be told of when it was. */
export function cutBehind(log: DiskLog, place: number): Cut {
  const next = log.moments.find((moment) => moment.place > place);
  return { place: place + 0.25, at: next?.at ?? Number.POSITIVE_INFINITY };
}

interface Write {
  readonly effect: BytesEffect;
  readonly id: number;
}

interface Block {
  readonly before: number;
  readonly writes: Write[];
}

/** What may make a slot worth another look: at a place a write of it begins, at a moment it is flushed. */
interface News {
  readonly when: number;
  readonly slot: number;
}

class NewsLine {
  readonly #news: News[];
  #next = 0;

  constructor(news: News[]) {
    this.#news = news.sort((a, b) => a.when - b.when);
  }

  /** The slots of what has come since it was asked last. */
  *until(when: number): Iterable<number> {
    while (this.#next < this.#news.length && this.#news[this.#next].when <= when) yield this.#news[this.#next++].slot;
  }
}

class Look {
  readonly #lived: Lived;
  readonly #ids = new Map<string, number>();
  readonly #zeros = this.#id(Buffer.alloc(PAGE));
  readonly #blocks: Block[];
  readonly #versions: number[][];
  readonly #file: DiskFile | undefined;
  readonly #decisions = new Map<string, (Decision & { readonly bytes: boolean })[]>();
  readonly #writes: NewsLine;
  readonly #flushes: NewsLine;
  #kind = '';
  readonly faults: string[] = [];
  readonly starts = { clean: 0, serve: 0, refused: 0 };
  states = 0;

  constructor(lived: Lived) {
    this.#lived = lived;
    const { log, image, history } = lived;
    this.#file = log.now.get(image) ?? log.before.get(image);
    this.#versions = history.slots.map(({ versions }) => versions.map(({ content }) => this.#id(content)));
    const before = this.#file?.bytes ?? Buffer.alloc(0);
    this.#blocks = history.slots.map((_, slot) => {
      const page = before.subarray(slot * PAGE, (slot + 1) * PAGE);
      return { before: page.length === PAGE ? this.#id(page) : this.#zeros, writes: [] };
    });
    for (const effect of log.effects) {
      if (effect.kind !== 'bytes' || effect.file !== this.#file) continue;
      if (effect.at % PAGE !== 0 || effect.bytes.length % PAGE !== 0) throw new Error('a part of a page was written');
      for (let at = 0; at < effect.bytes.length; at += PAGE) {
        const id = this.#id(effect.bytes.subarray(at, at + PAGE));
        this.#blocks[(effect.at + at) / PAGE].writes.push({ effect, id });
      }
    }
    this.#checkOrder();
    const news = <T>(of: Iterable<readonly [number, readonly T[]]>, when: (one: T) => number): NewsLine =>
      new NewsLine([...of].flatMap(([slot, all]) => all.map((one) => ({ slot, when: when(one) }))));
    this.#writes = news(
      this.#blocks.map(({ writes }, slot) => [slot, writes] as const),
      ({ effect }) => effect.begin,
    );
    this.#flushes = news(
      history.slots.map((slot, i) => [i, slot.answers(true)] as const),
      (at) => at,
    );
  }

  /** Writes of one block are ordered by whoever makes them: of two at once nobody knows which stays. */
  #checkOrder(): void {
    for (const [slot, { writes }] of this.#blocks.entries()) {
      for (const [i, { effect }] of writes.entries()) {
        const before = writes[i - 1]?.effect;
        if (before === undefined || before.end <= effect.begin) continue;
        if (!(before.settled && effect.settled))
          this.faults.push(`slot ${slot} is written twice at once: ${describe(before)}, ${describe(effect)}`);
      }
    }
  }

  #id(page: Buffer): number {
    const key = createHash('md5').update(page).digest('base64');
    const id = this.#ids.get(key) ?? this.#ids.size;
    this.#ids.set(key, id);
    return id;
  }

  /** To be called with cuts in their order. */
  at(cut: Cut): void {
    const decisions = this.#startsAt(cut.place);
    const kind = decisions.map(({ start, bytes }) => `${start} ${bytes}`).join();
    const news = [...this.#writes.until(cut.place), ...this.#flushes.until(cut.at)];
    // Where a start says nothing, each answer is a promise.
    const slots = kind === this.#kind && !kind.includes('clean') ? new Set(news) : this.#blocks.keys();
    this.#kind = kind;
    const looked = [...slots];
    const isOver = this.#lived.stopped && cut.place > this.#lived.log.end;
    for (const decision of decisions) {
      this.starts[decision.start]++;
      if (this.#lived.stale && decision.start === 'serve') this.#fault(cut, decision, 'it is stale');
      if (isOver && decision.start !== 'clean') this.#fault(cut, decision, 'it was stopped cleanly');
      if (decision.start === 'refused') {
        if (!this.#lived.mayRefuse || !decision.text.startsWith('exit 3')) this.#fault(cut, decision, decision.text);
      } else this.#look(cut, decision, looked);
    }
  }

  /** Whether there may be a start without a word. */
  isSilent(place: number): boolean {
    return this.#startsAt(place).some(({ start }) => start === 'clean');
  }

  /** What starts may come to, each once. */
  #startsAt(place: number): readonly (Decision & { readonly bytes: boolean })[] {
    const { log, image, decide } = this.#lived;
    const decisive = log.effects.filter((effect) => effect.kind !== 'bytes' || effect.file !== this.#file);
    const key = decisive.map((effect) => (lasts(effect, place) ? 2 : effect.begin < place ? 1 : 0)).join('');
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    const found = new Map<string, Decision & { readonly bytes: boolean }>();
    for (const state of statesAround(log, place, this.#file)) {
      this.states++;
      const decision = decide(state);
      const bytes = (state.get(image)?.size ?? 0) > 0;
      found.set(`${decision.start} ${bytes}`, { ...decision, bytes });
    }
    this.#decisions.set(key, [...found.values()]);
    return [...found.values()];
  }

  /** Whether each block holds what is allowed, whatever of it is lost. */
  #look(cut: Cut, decision: Decision & { readonly bytes: boolean }, slots: readonly number[]): void {
    const { history } = this.#lived;
    for (const slot of slots) {
      const block = this.#blocks[slot];
      const { from, end } =
        this.#lived.discards && decision.start === 'serve'
          ? FIRST
          : history.slots[slot].range(cut.at, decision.start === 'clean');
      const held = decision.bytes ? candidates(block, cut.place) : [this.#zeros];
      const ids = this.#versions[slot];
      for (const id of held) {
        if (ids.slice(from, end).includes(id)) continue;
        const what = ids.includes(id) ? `version ${ids.lastIndexOf(id)}` : 'what was never sent';
        this.#fault(cut, decision, `slot ${slot} has ${what}, allowed: versions ${from} to ${end - 1}`);
        return;
      }
    }
  }

  #fault(cut: Cut, { start, text }: Decision, what: string): void {
    if (this.faults.length >= FAULTS_MAX) return;
    const last = this.#lived.log.effects
      .filter(({ begin }) => begin < cut.place)
      .map(describe)
      .slice(-3)
      .join(', ');
    this.faults.push(`power lost at place ${cut.place}, behind ${last}: start ${start} (${text}): ${what}`);
  }
}

function candidates({ before, writes }: Block, place: number): number[] {
  const begun = writes.filter(({ effect }) => effect.begin < place);
  const last = begun.findLastIndex(({ effect }) => lasts(effect, place));
  // One that ran beside it may have come later.
  const over = last < 0 ? Number.POSITIVE_INFINITY : begun[last].effect.begin;
  const open = begun.filter(({ effect }, i) => i === last || !lasts(effect, place) || (i < last && effect.end > over));
  return [...(last < 0 ? [before] : []), ...open.map(({ id }) => id)];
}

export function describe(effect: Effect): string {
  const where = `${effect.begin}-${effect.end}, lasts from ${effect.safe}`;
  if (effect.kind === 'names')
    return `${effect.names.map(([path, file]) => `${file ? 'name' : 'no name'} ${path}`).join(' and ')} (${where})`;
  if (effect.kind === 'mark') return `${effect.value === null ? 'no mark' : 'mark'} (${where})`;
  if (effect.kind === 'size') return `size ${effect.size} (${where})`;
  return `${effect.bytes.length} bytes at ${effect.at} (${where})`;
}

/** Every place of the life where there is something new to be lost, and every moment at which something was promised. */
export function lookAtAllCuts(lived: Lived): Looked {
  const { log, from, history } = lived;
  const look = new Look(lived);
  const places = new Set([log.end, ...log.effects.map(({ begin }) => begin)]);
  for (const place of behind(log, history.answers(true))) places.add(place);
  // Of an answer alone nothing depends but where a start says no word.
  for (const place of behind(log, history.answers(false))) if (look.isSilent(place + 0.25)) places.add(place);
  const cuts = [...places].filter((place) => place >= from).sort((a, b) => a - b);
  for (const place of cuts) look.at(cutBehind(log, place));
  return { cuts: cuts.length, states: look.states, starts: look.starts, faults: look.faults };
}

/** The last places before some moments. */
function behind({ moments }: DiskLog, times: Iterable<number>): number[] {
  const places: number[] = [];
  let i = 0;
  for (const time of [...times].sort((a, b) => a - b)) {
    while (i < moments.length && moments[i].at <= time) i++;
    if (i > 0) places.push(moments[i - 1].place);
  }
  return places;
}
