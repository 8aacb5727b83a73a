// What is to be said to the server: records and names, gathered into batches that wait until it has taken them.
//
// Bounds: SEALED_MAX batches wait. When there is room for no more, all of them are given up together, for a part of the story
// would be wrong and not just short; what comes is counted as lost, until the caller begins a resync.
import {
  BATCH_BYTES_MAX,
  FLAG,
  HEADER_BYTES,
  type Name,
  nameBytes,
  PATH_BYTES_MAX,
  RECORD_BYTES,
  type Records,
} from './wire.ts';

/** Batches that wait: 4 MiB, and some 200,000 records. */
const SEALED_MAX = 16;
const RECORDS_MAX = 10_000;
/** Slots of the same cgroup that follow each other so closely are one record, with the time of the earliest. */
const TOGETHER_US = 1000;
/** A record's time is 32 bits of µs after the first one's. */
const SPAN_US = 1e9;

export interface Batch {
  flags: number;
  readonly names: Name[];
  readonly records: Records;
  lost: number;
}

class OpenBatch {
  flags = 0;
  names: Name[] = [];
  bytes = HEADER_BYTES;
  /** Slots of all records. */
  slots = 0;
  count = 0;
  readonly charged = new Set<number>();
  readonly slot = new Uint32Array(RECORDS_MAX);
  readonly slotCount = new Uint32Array(RECORDS_MAX);
  readonly cgroup = new Float64Array(RECORDS_MAX);
  readonly time = new Float64Array(RECORDS_MAX);

  get isEmpty(): boolean {
    return this.count === 0 && this.names.length === 0 && this.flags === 0;
  }

  take(lost: number): Batch {
    const { flags, names, count } = this;
    const records: Records = {
      count,
      slot: this.slot.slice(0, count),
      slots: this.slotCount.slice(0, count),
      cgroup: this.cgroup.slice(0, count),
      time: this.time.slice(0, count),
    };
    this.flags = 0;
    this.names = [];
    this.bytes = HEADER_BYTES;
    this.slots = 0;
    this.count = 0;
    this.charged.clear();
    return { flags, names, records, lost };
  }
}

export class Outbox {
  /** Set when the story broke: nothing is taken until `restart`. */
  isBroken = false;
  /** Slots of all records, since the start. */
  slots = 0;
  /** Records, since the start. */
  records = 0;
  private readonly open = new OpenBatch();
  private sealed: Batch[] = [];
  /** Cgroups that the batches so far have named. */
  private readonly named = new Set<number>();
  /** Those that the server may have heard of, and of them those that are gone, which it has to hear yet. */
  private readonly told = new Set<number>();
  private owed: number[] = [];
  private lost = 0;
  /** As the server says it takes them. */
  private slotsMax: number;
  private readonly pathOf: (cgroup: number) => string | undefined;

  constructor(pathOf: (cgroup: number) => string | undefined, slotsMax = 1 << 20) {
    this.pathOf = pathOf;
    this.slotsMax = slotsMax;
  }

  limit(slotsMax: number): void {
    this.slotsMax = slotsMax;
  }

  /** Begins to tell it anew. What waits is void, but for its names. */
  restart(): void {
    const names = [...this.sealed, this.open.take(0)].flatMap((batch) => batch.names);
    this.sealed = [];
    this.isBroken = false;
    this.open.flags = FLAG.begin;
    for (const name of names) {
      this.room(nameBytes(name));
      this.push(name);
    }
    this.payOwed();
  }

  /** The server could not take all names of a batch, and doesn't say which: they are told again with what is charged there next. */
  refused({ names }: Batch): void {
    for (const { id, path } of names) if (path !== undefined) this.named.delete(id);
  }

  /** The server knows none of those that it was told. */
  forgetNames(): void {
    this.named.clear();
  }

  /** How much of the room for batches is taken. */
  get fill(): number {
    return this.sealed.length / SEALED_MAX;
  }

  endResync(): void {
    this.open.flags |= FLAG.end;
    this.seal();
  }

  noteLost(events: number): void {
    this.lost += events;
  }

  /** The slot was held at that time, since whenever. Such records have batches of their own. */
  seen(slot: number, cgroup: number, time: number): void {
    if ((this.open.flags & FLAG.seen) === 0 && this.open.count > 0) this.seal();
    this.open.flags |= FLAG.seen;
    if (!this.named.has(cgroup)) this.name(cgroup);
    this.add(slot, 1, cgroup, time);
    // Both may have begun another batch.
    this.open.flags |= FLAG.seen;
    this.open.charged.add(cgroup);
  }

  charge(slot: number, slots: number, cgroup: number, time: number): void {
    this.endSeen();
    if (!this.named.has(cgroup)) this.name(cgroup);
    this.add(slot, slots, cgroup, time);
    this.open.charged.add(cgroup);
  }

  free(slot: number, slots: number, time: number): void {
    this.endSeen();
    this.add(slot, slots, 0, time);
  }

  private endSeen(): void {
    if ((this.open.flags & FLAG.seen) !== 0) this.seal();
  }

  /** A cgroup is no more. */
  gone(cgroup: number): void {
    this.named.delete(cgroup);
    if (!this.told.delete(cgroup)) return;
    // Another of the same path may be named next, and then these would be its own.
    if (this.open.charged.has(cgroup)) this.seal();
    this.owed.push(cgroup);
    this.payOwed();
  }

  private payOwed(): void {
    for (let id = this.owed.pop(); id !== undefined; id = this.owed.pop()) {
      const name = { id, path: undefined };
      this.room(nameBytes(name));
      if (this.isBroken) {
        this.owed.push(id);
        return;
      }
      this.push(name);
    }
  }

  private name(cgroup: number): void {
    const path = this.pathOf(cgroup);
    // What it is charged to is nobody's; the server counts that.
    if (path === undefined || this.isBroken || Buffer.byteLength(path) > PATH_BYTES_MAX) return;
    const name = { id: cgroup, path };
    this.room(nameBytes(name) + RECORD_BYTES);
    if (this.isBroken) return;
    this.named.add(cgroup);
    this.told.add(cgroup);
    this.push(name);
  }

  private push(name: Name): void {
    this.open.names.push(name);
    this.open.bytes += nameBytes(name);
  }

  private add(slot: number, slots: number, cgroup: number, time: number): void {
    if (this.isBroken) {
      this.lost += slots;
      return;
    }
    const { open } = this;
    if (slots > this.slotsMax) {
      this.add(slot, this.slotsMax, cgroup, time);
      this.add(slot + this.slotsMax, slots - this.slotsMax, cgroup, time);
      return;
    }
    const last = open.count - 1;
    const follows =
      last >= 0 &&
      open.cgroup[last] === cgroup &&
      open.slot[last] + open.slotCount[last] === slot &&
      time - open.time[last] < TOGETHER_US &&
      open.slots + slots <= this.slotsMax;
    this.slots += slots;
    if (follows) {
      open.slotCount[last] += slots;
      open.slots += slots;
      return;
    }
    const isFar = last >= 0 && time - open.time[0] > SPAN_US;
    if (open.slots + slots > this.slotsMax || isFar) this.seal();
    this.room(RECORD_BYTES);
    if (this.isBroken) return;
    const at = open.count++;
    open.slot[at] = slot;
    open.slotCount[at] = slots;
    open.cgroup[at] = cgroup;
    open.time[at] = time;
    open.slots += slots;
    open.bytes += RECORD_BYTES;
    this.records++;
  }

  private room(bytes: number): void {
    const { open } = this;
    if (open.bytes + bytes > BATCH_BYTES_MAX || open.count === RECORDS_MAX) this.seal();
  }

  /** Closes the open batch, if it has anything. */
  seal(): void {
    if (this.open.isEmpty || this.isBroken) return;
    if (this.sealed.length >= SEALED_MAX) {
      this.isBroken = true;
      const given = [...this.sealed, this.open.take(0)];
      this.sealed = [];
      for (const batch of given) this.giveUp(batch);
      // Their names went with them.
      this.named.clear();
      for (const { names } of given)
        this.owed.push(...names.flatMap(({ id, path }) => (path === undefined ? [id] : [])));
      return;
    }
    this.sealed.push(this.open.take(this.lost));
    this.lost = 0;
  }

  /** The next batch that waits. */
  take(): Batch | undefined {
    if (this.sealed.length === 0) this.seal();
    return this.sealed.shift();
  }

  /** One that was taken, and is not to be sent yet. */
  putBack(batch: Batch): void {
    this.sealed.unshift(batch);
  }

  /** A batch that is not sent, or nobody knows whether it arrived: its slots are lost, and those gone are told again. */
  giveUp(batch: Batch): void {
    this.lost += batch.lost + totalSlots(batch.records);
    for (const { id, path } of batch.names) if (path === undefined) this.owed.push(id);
  }
}

function totalSlots({ slots, count }: Records): number {
  return slots.subarray(0, count).reduce((sum, n) => sum + n, 0);
}
