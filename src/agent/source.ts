// Where the agent's knowledge comes from: the probes' events, and pagemap where events are missing or can't be had. Turns both
// into records in the outbox.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cgroups } from './cgroups.ts';
import { EVENT, type EventQueue } from './event_queue.ts';
import type { Outbox } from './outbox.ts';
import { type PagemapCounts, scanPagemaps } from './pagemap.ts';
import type { SwapDevice } from './swap_device.ts';
import type { TraceReader } from './trace_reader.ts';

/** How often it is looked what is swapped on where there are no events, and whether the kernel had no room for events. */
const LOOK_EVERY_US = 1e6;
/** Looks in one round, of a table that changes meanwhile. */
const LOOKS_MAX = 4;

interface SourceCounts {
  charges: number;
  frees: number;
  /** Of cgroups that nobody knows. */
  unknown: number;
  /** Events of other swap devices. */
  foreign: number;
  /** Frees of a time at which the swap devices changed: of which device they were nobody knows. */
  unsure: number;
  /** Slots beyond the end of the export. */
  outside: number;
  lost: number;
  resyncs: number;
}

interface SourceParts {
  readonly device: Pick<SwapDevice, 'swapType' | 'look' | 'settle'>;
  readonly cgroups: Cgroups;
  readonly outbox: Outbox;
  /** Undefined: nothing but pagemap is used. */
  readonly reader: Pick<TraceReader, 'fill' | 'emit' | 'lost' | 'slotEvents' | 'events' | 'gaps'> | undefined;
  readonly now: () => number;
  /** Where processes are, if not in /proc. */
  readonly proc?: string;
}

export class Source {
  readonly counts: SourceCounts = {
    charges: 0,
    frees: 0,
    unknown: 0,
    foreign: 0,
    unsure: 0,
    outside: 0,
    lost: 0,
    resyncs: 0,
  };
  readonly scanned: PagemapCounts = { processes: 0, pages: 0, skipped: 0 };
  /** Set when what was said is not the whole story any more. */
  needsResync = true;
  /** Slots of the export; its server says how many. */
  slots = Number.POSITIVE_INFINITY;
  /** The batches that wait begin with the resync that is needed. */
  private hasBegun = false;
  private readonly parts: SourceParts;
  /** Slots that events speak of since a slice of pagemap was read: the events know better. */
  private touched: Set<number> | undefined;
  private gaps = 0;
  private lookedAt = Number.NEGATIVE_INFINITY;
  /** Which device has which type is known of events from here on. */
  private sureFrom = Number.NEGATIVE_INFINITY;
  /** Events that the last poll read. */
  events = 0;

  constructor(parts: SourceParts) {
    this.parts = parts;
  }

  /** Takes the events that are there; returns whether there are more. */
  poll(): boolean {
    const { reader, now } = this.parts;
    const isDue = now() - this.lookedAt > LOOK_EVERY_US;
    if (reader === undefined) {
      if (isDue) this.look();
      return false;
    }
    let isLeft = reader.fill(now);
    this.events = reader.events;
    // An event says a type and not a device. Whose the type was is known if the devices were the same before and after it, so no
    // event is handed on but between two looks that found the same.
    if (isDue || reader.slotEvents > 0) {
      for (let looks = 1; this.look(); looks++) {
        // What the probe said of the table comes with the next round.
        isLeft = reader.fill(now) || isLeft;
        this.settle();
        if (looks < LOOKS_MAX) continue;
        this.lookedAt = Number.NEGATIVE_INFINITY;
        return true;
      }
    }
    if (isDue || reader.gaps !== this.gaps) this.askLost(reader);
    reader.emit((queue, at) => this.take(queue, at));
    return isLeft;
  }

  /** Returns whether anything was swapped on or off since the last time. */
  private look(): boolean {
    const { device, now, reader } = this.parts;
    this.lookedAt = now();
    const hasChanged = device.look(this.lookedAt);
    if (hasChanged) this.sureFrom = now();
    if (hasChanged && reader === undefined) device.settle();
    return hasChanged;
  }

  private settle(): void {
    const { device } = this.parts;
    const before = device.swapType;
    device.settle();
    // What pagemap said by the type before may be of another device.
    if (before !== undefined && before !== device.swapType) this.begin();
  }

  private askLost(reader: NonNullable<SourceParts['reader']>): void {
    this.gaps = reader.gaps;
    const lost = reader.lost();
    if (lost <= this.counts.lost) return;
    this.parts.outbox.noteLost(lost - this.counts.lost);
    this.counts.lost = lost;
    this.begin();
  }

  /** The server has not what it was told: all is told anew, and not from what waits. */
  breakOff(): void {
    this.needsResync = true;
    this.hasBegun = false;
  }

  /** What comes from here on is true; of what was said before nobody knows. */
  private begin(): void {
    this.parts.outbox.restart();
    this.needsResync = true;
    this.hasBegun = true;
  }

  private take(queue: EventQueue, at: number): void {
    const { cgroups, outbox } = this.parts;
    const kind = queue.kind[at];
    const id = queue.cgroup[at];
    if (kind === EVENT.mkdir) {
      cgroups.made(id, queue.paths.shift() ?? '');
    } else if (kind === EVENT.rmdir) {
      outbox.gone(id);
      cgroups.removed(id);
    } else {
      this.takeSlots(kind, queue, at);
    }
  }

  private takeSlots(kind: number, queue: EventQueue, at: number): void {
    const { device, cgroups, outbox } = this.parts;
    const slot = queue.slot[at];
    const pages = queue.pages[at];
    if (kind === EVENT.free && queue.time[at] < this.sureFrom) {
      this.loseFree(pages);
      return;
    }
    if (queue.swapType[at] !== device.swapType) {
      this.counts.foreign += pages;
      return;
    }
    if (slot + pages > this.slots) {
      this.counts.outside += pages;
      return;
    }
    const { touched } = this;
    if (touched !== undefined) for (let i = 0; i < pages; i++) touched.add(slot + i);
    if (kind === EVENT.free) {
      this.counts.frees += pages;
      outbox.free(slot, pages, queue.time[at]);
      return;
    }
    this.counts.charges += pages;
    const living = cgroups.living(queue.cgroup[at]);
    if (living === undefined) this.counts.unknown += pages;
    outbox.charge(slot, pages, living ?? queue.cgroup[at], queue.time[at]);
  }

  /** A free may cost somebody his page, so it is not guessed whose it is. A charge only says whose a page is, until a resync does. */
  private loseFree(pages: number): void {
    this.counts.unsure += pages;
    // All is about to be told anew as it is.
    if (this.needsResync && !this.hasBegun) return;
    this.parts.outbox.noteLost(pages);
    if (!this.hasBegun) this.begin();
  }

  /** Says anew whose each slot is that a process holds, with the events that come meanwhile. `mayGoOn`: waits where too much waits. */
  async resync(mayGoOn: () => boolean): Promise<void> {
    const { device, cgroups, outbox } = this.parts;
    this.counts.resyncs++;
    this.poll();
    for (const id of cgroups.walk()) outbox.gone(id);
    if (!this.hasBegun || outbox.isBroken) this.begin();
    // What is lost from here on asks for another one.
    this.hasBegun = false;
    this.needsResync = false;
    const { swapType } = device;
    const slices = scanPagemaps(swapType ?? -1, this.scanned, this.parts.proc);
    while (swapType !== undefined) {
      this.touched = new Set();
      const time = this.parts.now();
      const { done, value } = slices.next();
      this.poll();
      const { touched } = this;
      this.touched = undefined;
      // By another type from here on, which begins with a resync of its own.
      if (done === true || device.swapType !== swapType) break;
      const cgroup = cgroups.idOf(value.path);
      for (const slot of value.slots) {
        if (cgroup === undefined || slot >= this.slots || touched.has(slot)) continue;
        outbox.seen(slot, cgroup, time);
      }
      do {
        // What else there is to do gets its turn after each slice.
        await sleep(1);
        this.poll();
      } while (!mayGoOn());
    }
    outbox.endResync();
  }
}
