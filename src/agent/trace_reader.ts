// Reads the buffers of all processors and hands their events on in the order of their times.
//
// Invariant: an event is handed on only when no older one can come. A probe has written its event before the function that it stands
// on goes on, so what is older than the moment at which a round of reading began was in the buffers by then; of a buffer that
// was not read to its end, what is younger than its last event waits.
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { type EventFormat, fieldReader, halvesReader, textReader } from './event_format.ts';
import { EVENT, EventQueue, merge, type TakeEvent } from './event_queue.ts';
import type { FolioSize } from './kernel_layout.ts';
import { codeOf, Problem } from './problem.ts';
import { type PageLayout, parsePageLayout, readPage } from './ring_page.ts';
import type { Tracefs } from './tracefs.ts';

/** Pages of one processor in one round: 1 MiB, some 20,000 events, so that what else the agent does gets its turn. */
const PAGES_PER_ROUND = 256;
/** A read hands out one page at most, and the kernel may have been told to make them larger. */
const PAGE_MAX = 65536;
const SWAP_TYPE_SHIFT_HIGH = 58 - 32;

type Decode = (page: Buffer, time: number, at: number, queue: EventQueue) => void;

/** Gets what the device probe saw, and when: the kernel's dev_t of a swap device, and its swap type. */
export type TakeDevice = (device: number, swapType: number, time: number) => void;

interface Processor {
  readonly number: number;
  readonly fd: number;
  readonly queue: EventQueue;
}

export class TraceReader {
  /** Pages that said that events before them were lost. */
  gaps = 0;
  /** Charges that are of no page of a cgroup, or of no known shape: none of them was handed on. */
  strange = 0;
  /** Events of the last round, and of them charges and frees. */
  events = 0;
  slotEvents = 0;
  private until = 0;
  private readonly tracefs: Tracefs;
  private readonly layout: PageLayout;
  private readonly processors: Processor[];
  private readonly decoders = new Map<number, Decode>();
  private readonly page = Buffer.alloc(PAGE_MAX);

  constructor(tracefs: Tracefs) {
    this.tracefs = tracefs;
    const layout = parsePageLayout(tracefs.read('events/header_page'));
    if (layout === undefined) throw new Problem('events/header_page has no commit or no data');
    this.layout = layout;
    this.processors = tracefs.processors().map((number) => {
      const path = join(tracefs.instance, `per_cpu/cpu${number}/trace_pipe_raw`);
      return { number, fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), queue: new EventQueue() };
    });
  }

  decodeCharges(format: EventFormat, size: FolioSize, headBit: number): void {
    const entry = halvesReader(format, 'e');
    const cgroup = fieldReader(format, 'cg');
    const kind = fieldReader(format, 'kind');
    const head = fieldReader(format, 'head');
    const pages = fieldReader(format, 'size');
    const headMask = 1 << (headBit & 7);
    this.decoders.set(format.id, (page, time, at, queue) => {
      let count = 1;
      if ((head(page, at) & headMask) !== 0) count = size.what === 'pages' ? pages(page, at) : 2 ** pages(page, at);
      // A folio has at most 2^18 pages (1 GiB); anything else was not where it was looked for.
      if ((kind(page, at) & 3) !== 0 || count < 1 || count > 1 << 18) {
        this.strange++;
        return;
      }
      const high = entry.high(page, at);
      this.slotEvents++;
      const slot = (high & ((1 << SWAP_TYPE_SHIFT_HIGH) - 1)) * 2 ** 32 + entry.low(page, at);
      queue.add(EVENT.charge, time, high >>> SWAP_TYPE_SHIFT_HIGH, slot, count, cgroup(page, at));
    });
  }

  decodeFrees(format: EventFormat): void {
    const entry = halvesReader(format, 'e');
    const pages = fieldReader(format, 'n');
    this.decoders.set(format.id, (page, time, at, queue) => {
      const high = entry.high(page, at);
      const slot = (high & ((1 << SWAP_TYPE_SHIFT_HIGH) - 1)) * 2 ** 32 + entry.low(page, at);
      this.slotEvents++;
      queue.add(EVENT.free, time, high >>> SWAP_TYPE_SHIFT_HIGH, slot, pages(page, at), 0);
    });
  }

  /** cgroup_mkdir and cgroup_rmdir; of the hierarchy 0, which is cgroup v2. */
  decodeCgroups(mkdir: EventFormat, rmdir: EventFormat): void {
    for (const [format, kind] of [
      [mkdir, EVENT.mkdir],
      [rmdir, EVENT.rmdir],
    ] as const) {
      const root = fieldReader(format, 'root');
      const id = fieldReader(format, 'id');
      const path = textReader(format, 'path');
      this.decoders.set(format.id, (page, time, at, queue) => {
        if (root(page, at) !== 0) return;
        if (kind === EVENT.mkdir) queue.paths.push(path(page, at));
        queue.add(kind, time, 0, 0, 0, id(page, at));
      });
    }
  }

  decodeDevices(format: EventFormat, take: TakeDevice): void {
    const row = fieldReader(format, 'row');
    const swapType = fieldReader(format, 'type');
    const device = fieldReader(format, 'dev');
    this.decoders.set(format.id, (page, time, at) => {
      // The first call is for the head of the table, and has the number 1 for a row.
      if (row(page, at) > 1) take(device(page, at), swapType(page, at), time);
    });
  }

  /** Reads one round over all processors; returns whether something is left to be read. */
  fill(now: () => number): boolean {
    let isLeft = false;
    this.events = 0;
    this.slotEvents = 0;
    this.until = now();
    for (const processor of this.processors) {
      if (this.readProcessor(processor)) continue;
      isLeft = true;
      const { queue } = processor;
      if (!queue.isEmpty) this.until = Math.min(this.until, queue.time[queue.tail - 1]);
    }
    return isLeft;
  }

  /** Hands on what the last round made certain. */
  emit(take: TakeEvent): void {
    merge(
      this.processors.map(({ queue }) => queue),
      this.until,
      take,
    );
  }

  /** Returns whether its buffer was read to the end. */
  private readProcessor({ fd, queue }: Processor): boolean {
    for (let pages = 0; pages < PAGES_PER_ROUND && queue.hasRoom(); pages++) {
      const length = readSome(fd, this.page);
      if (length === 0) return true;
      const hasGap = readPage(this.page.subarray(0, length), this.layout, (time, at) => {
        this.events++;
        this.decoders.get(this.page.readUInt16LE(at))?.(this.page, time, at, queue);
      });
      if (hasGap) this.gaps++;
    }
    return false;
  }

  /** Events that the kernel had no room for, of all processors, since the instance was made. */
  lost(): number {
    let lost = 0;
    for (const { number } of this.processors) {
      const text = this.tracefs.read(`per_cpu/cpu${number}/stats`);
      for (const [, count] of text.matchAll(/^(?:overrun|commit overrun|dropped events): (\d+)$/gm))
        lost += Number(count);
    }
    return lost;
  }

  close(): void {
    for (const { fd } of this.processors) closeSync(fd);
  }
}

/** 0 where nothing is there yet. */
function readSome(fd: number, page: Buffer): number {
  try {
    return readSync(fd, page, 0, page.length, null);
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return 0;
    throw error;
  }
}
