/**
 * Holds what a READ brought against the model, and names what is wrong. A wrong page is told once: then it is distrusted until
 * it is written as a whole, so that one fault is not counted with every READ of it.
 */
import type { Model } from './model.ts';
import { generationOf, PAGE, type Pages, SECTOR, tell, type Version, WRITERS, writerOf } from './page.ts';

/** What a page is that should be another: zeros in place of data, older bytes, those of another place, some of both, garbage. */
type WrongKind = 'lost' | 'stale' | 'misdirected' | 'torn' | 'corrupt' | 'foreign';

export interface Wrong {
  readonly kind: WrongKind;
  readonly slot: number;
  readonly sector: number;
  readonly text: string;
}

/** How far back a page of one repeated word is looked for. */
const FILLINGS_TRIED = 64;

export class Checker {
  readonly #model: Model;
  readonly #pages: Pages;
  readonly #wanted = Buffer.alloc(PAGE);

  constructor(model: Model, pages: Pages) {
    this.#model = model;
    this.#pages = pages;
  }

  /** `bytes` are the sectors of the slot from `first` on. Null if they are right; what was unsure of them is settled then. */
  check(slot: number, bytes: Buffer, first = 0): Wrong | null {
    if (this.#model.isDistrusted(slot)) return null;
    const whole = this.#model.whole(slot);
    if (whole !== undefined) {
      const length = bytes.length;
      this.#pages.fill(this.#wanted, 0, slot, whole, first, first + length / SECTOR);
      if (bytes.equals(this.#wanted.subarray(0, length))) return null;
    }
    return this.#sectors(slot, bytes, first);
  }

  #sectors(slot: number, bytes: Buffer, first: number): Wrong | null {
    const found: (Version | undefined)[] = [];
    for (let at = 0; at < bytes.length; at += SECTOR) {
      found.push(this.#match(slot, first + at / SECTOR, bytes.subarray(at, at + SECTOR)));
    }
    const bad = found.indexOf(undefined);
    if (bad < 0) {
      for (const [i, version] of found.entries()) this.#model.settle(slot, first + i, version!);
      return null;
    }
    this.#model.distrust(slot);
    const sector = first + bad;
    const at = bad * SECTOR;
    const one = this.#name(slot, sector, bytes.subarray(at, at + SECTOR));
    const isOlder = one.kind === 'stale' || one.kind === 'lost';
    const isTorn = isOlder && found.some((version) => version !== undefined && version !== 0);
    const kind = isTorn ? 'torn' : one.kind;
    const allowed = this.#model.allowed(slot, sector).map(shown).join(' or ');
    return { kind, slot, sector, text: `slot ${slot}, sector ${sector}: ${one.text}, in place of ${allowed}` };
  }

  #match(slot: number, sector: number, bytes: Buffer): Version | undefined {
    return this.#model.allowed(slot, sector).find((version) => {
      this.#pages.fill(this.#wanted, 0, slot, version, sector, sector + 1);
      return bytes.equals(this.#wanted.subarray(0, SECTOR));
    });
  }

  #name(slot: number, sector: number, bytes: Buffer): { kind: WrongKind; text: string } {
    const told = tell(bytes);
    if (told.is === 'zeros') return { kind: 'lost', text: 'zeros' };
    if (told.is === 'noise') return { kind: 'corrupt', text: 'bytes of no page of this run' };
    if (told.is === 'filled') {
      const version = this.#fillingOf(slot, told.word);
      if (version !== undefined) return { kind: 'stale', text: shown(version) };
      return { kind: 'corrupt', text: `the word ${told.word.toString(16)} repeated` };
    }
    const place = `${shown(told.version)} of slot ${told.slot}, sector ${told.sector}`;
    if (!told.sound) return { kind: 'corrupt', text: `${place}, with a wrong checksum` };
    if (told.seed !== this.#pages.seed) return { kind: 'foreign', text: `${place}, of a run with seed ${told.seed}` };
    if (told.slot !== slot || told.sector !== sector) return { kind: 'misdirected', text: place };
    return { kind: 'stale', text: shown(told.version) };
  }

  /** Which of its last versions a page of one repeated word is. */
  #fillingOf(slot: number, word: number): Version | undefined {
    const last = this.#model.generation(slot);
    for (let generation = last; generation > Math.max(0, last - FILLINGS_TRIED); generation--) {
      for (let writer = 0; writer < WRITERS; writer++) {
        const version = generation * WRITERS + writer;
        if (this.#pages.isFilled(slot, version) && this.#pages.filling(slot, version) === word) return version;
      }
    }
    return undefined;
  }
}

function shown(version: Version): string {
  return version === 0 ? 'zeros' : `generation ${generationOf(version)} of writer ${writerOf(version)}`;
}
