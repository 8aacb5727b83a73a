/**
 * What slots were told to hold, by whoever told them, with the times of question and answer: so it can be said of any moment
 * what may be read of a slot after the server, or its machine, ended just then.
 *
 * - After a kill or a loss of power: what was flushed, or anything that was sent later.
 * - Where nothing says that writes may be gone: what was answered last, or anything that was sent later.
 *
 * One request at a time to a slot, so the versions of it have an order.
 */

const PAGE = 4096;
const NEVER = Number.POSITIVE_INFINITY;

export interface Version {
  readonly content: Buffer;
  readonly sent: number;
  answered: number;
}

/** From `at` on, version `index` or a later one is there. */
interface Floor {
  readonly at: number;
  readonly index: number;
}

export class SlotHistory {
  versions: Version[];
  #floors: Floor[];
  /** Whether a request of it is under way. */
  busy = false;

  constructor(content: Buffer) {
    this.versions = [{ content, sent: -NEVER, answered: -NEVER }];
    this.#floors = [{ at: -NEVER, index: 0 }];
  }

  get newest(): Buffer {
    return this.versions[this.versions.length - 1].content;
  }

  /** Index of the version that was answered last by a moment. */
  answered(by: number): number {
    let index = this.versions.length - 1;
    while (this.versions[index].answered > by) index--;
    return index;
  }

  begin(content: Buffer, sent: number): void {
    this.busy = true;
    this.versions.push({ content, sent, answered: NEVER });
  }

  /** Of what was begun last. */
  end(answered: number, isFlushed: boolean): void {
    this.busy = false;
    this.versions[this.versions.length - 1].answered = answered;
    if (isFlushed) this.flushed(this.versions.length - 1, answered);
  }

  flushed(index: number, at: number): void {
    if (index > this.#floors[this.#floors.length - 1].index) this.#floors.push({ at, index });
  }

  /** The versions that may be there after an end at a moment. `whole`: nothing was said of writes that may be gone. */
  range(at: number, whole: boolean): { from: number; end: number } {
    let floor = 0;
    for (const one of this.#floors) if (one.at <= at) floor = one.index;
    const from = whole ? Math.max(floor, this.answered(at)) : floor;
    let end = this.versions.length;
    while (end > from + 1 && this.versions[end - 1].sent > at) end--;
    return { from, end };
  }

  allowed(at: number, whole: boolean): readonly Version[] {
    const { from, end } = this.range(at, whole);
    return this.versions.slice(from, end);
  }

  /** When it was answered that it is flushed, or any request of it. */
  answers(flushed: boolean): number[] {
    return flushed ? this.#floors.map(({ at }) => at) : this.versions.map(({ answered }) => answered);
  }

  /**
   * It was killed and reads so now: what was sent later than that will not come any more. What a loss of power may still bring
   * back is what it was, until the next flush.
   */
  survived(content: Buffer): boolean {
    const index = this.versions.findLastIndex((version) => version.content.equals(content));
    if (index < this.#floors[this.#floors.length - 1].index) return false;
    this.versions.length = index + 1;
    this.versions[index].answered = Math.min(this.versions[index].answered, this.versions[index].sent);
    this.busy = false;
    return true;
  }
}

/** Whether each sector is that of one of the versions: a write that power has ended may be torn there, as on any disk. */
export function isWoven(content: Buffer, versions: readonly Version[], sector = 512): boolean {
  for (let at = 0; at < content.length; at += sector) {
    const found = versions.some((version) => content.compare(version.content, at, at + sector, at, at + sector) === 0);
    if (!found) return false;
  }
  return true;
}

/** All slots of a device. */
export class DeviceHistory {
  slots: SlotHistory[];
  readonly now: () => number;

  /** `now`: of the clock that all moments are told by. */
  constructor(content: Buffer, now: () => number) {
    this.slots = slotsOf(content);
    this.now = now;
  }

  /** It is known to hold this, and no loss of power brings anything else back. */
  reset(content: Buffer): void {
    this.slots = slotsOf(content);
  }

  /** Changes slots [first, first + pages.length): `send` resolves with the answer. */
  async change(first: number, pages: readonly Buffer[], isFlushed: boolean, send: () => Promise<void>): Promise<void> {
    const touched = this.slots.slice(first, first + pages.length);
    const sent = this.now();
    for (const [i, slot] of touched.entries()) slot.begin(pages[i], sent);
    await send();
    const answered = this.now();
    for (const slot of touched) slot.end(answered, isFlushed);
  }

  /** The moments at which something was answered: that it is flushed, or anything. */
  answers(flushed: boolean): Set<number> {
    return new Set(this.slots.flatMap((slot) => slot.answers(flushed)).filter(Number.isFinite));
  }

  async flush(send: () => Promise<void>): Promise<void> {
    const sent = this.now();
    const covered = this.slots.map((slot) => slot.answered(sent));
    await send();
    const answered = this.now();
    for (const [i, slot] of this.slots.entries()) slot.flushed(covered[i], answered);
  }
}

function slotsOf(content: Buffer): SlotHistory[] {
  return Array.from(
    { length: content.length / PAGE },
    (_, i) => new SlotHistory(Buffer.from(content.subarray(i * PAGE, (i + 1) * PAGE))),
  );
}
