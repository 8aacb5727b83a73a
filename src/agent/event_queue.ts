// Decoded events of one processor, in the order of their times, in columns: swapping makes tens of thousands a second, and an
// object for each would be garbage in a guest that is short of memory as it is.

export const EVENT = { charge: 1, free: 2, mkdir: 3, rmdir: 4 } as const;

/** Of one processor; its reader leaves the rest in the kernel's buffer. */
const CAPACITY = 1 << 15;
/** A page of a trace buffer has fewer events than this (64 KiB, 16 bytes at least), and is read only where there is room for all. */
const PAGE_EVENTS = 4096;

export class EventQueue {
  readonly kind = new Uint8Array(CAPACITY);
  /** In µs of the trace's clock. */
  readonly time = new Float64Array(CAPACITY);
  readonly swapType = new Uint8Array(CAPACITY);
  readonly slot = new Float64Array(CAPACITY);
  readonly pages = new Uint32Array(CAPACITY);
  /** The number of the cgroup that is charged, made or removed. */
  readonly cgroup = new Float64Array(CAPACITY);
  /** Of the cgroups that were made, in their order. */
  readonly paths: string[] = [];
  /** The next to be taken, and one behind the last. */
  head = 0;
  tail = 0;

  get isEmpty(): boolean {
    return this.head === this.tail;
  }

  /** For all events of a page. */
  hasRoom(): boolean {
    if (this.isEmpty) {
      this.head = 0;
      this.tail = 0;
    } else if (this.tail + PAGE_EVENTS > CAPACITY) {
      this.moveToFront();
    }
    return this.tail + PAGE_EVENTS <= CAPACITY;
  }

  private moveToFront(): void {
    const { head, tail } = this;
    for (const column of [this.kind, this.time, this.swapType, this.slot, this.pages, this.cgroup]) {
      column.copyWithin(0, head, tail);
    }
    this.head = 0;
    this.tail = tail - head;
  }

  add(kind: number, time: number, swapType: number, slot: number, pages: number, cgroup: number): void {
    const at = this.tail++;
    this.kind[at] = kind;
    this.time[at] = time;
    this.swapType[at] = swapType;
    this.slot[at] = slot;
    this.pages[at] = pages;
    this.cgroup[at] = cgroup;
  }
}

/** Gets events in the order of their times; `at` is a row of the queue. */
export type TakeEvent = (queue: EventQueue, at: number) => void;

/** Takes what is older than `until` from all queues. */
export function merge(queues: readonly EventQueue[], until: number, take: TakeEvent): void {
  for (;;) {
    let next: EventQueue | undefined;
    let earliest = until;
    for (const queue of queues) {
      if (queue.isEmpty) continue;
      const time = queue.time[queue.head];
      if (time < earliest) {
        earliest = time;
        next = queue;
      }
    }
    if (next === undefined) return;
    take(next, next.head++);
  }
}
