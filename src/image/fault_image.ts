/**
 * The faults of an image: a decorator that is put around the image of a thread while a plan names one of its sites, and taken
 * off again. Calls that are under way when it goes end as they would have.
 *
 * What it tears, loses or misdirects it does by calls of the image itself, so that it is the same on a file and on a device. What
 * hangs has not begun: it begins when its fault is over, or when the decorator is taken off.
 */
import type { Gate, Injection } from '../faults/gate.ts';
import type { FaultRule } from '../faults/rules.ts';
import type { SiteName } from '../faults/sites.ts';
import { EIO, ENOSPC } from '../os/errno.ts';
import type { Loop, Timer } from '../os/loop.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import { noteSyncFailed } from './descriptor_image.ts';
import type { Image, ImageDone } from './image.ts';
import { alignedBytes } from './io.ts';

/** What a disk writes whole or not at all. */
const SECTOR = 512;
/** Slots that were written lately, of which a misdirected write hits one: what they held is known, so that it is noticed. */
const RECENT_MAX = 1024;

interface FaultImageOptions {
  readonly gate: Gate;
  readonly x: number;
  /** Those of the image (descriptor_image.ts): a sync that was made to fail has failed for all who have it open. */
  readonly flags: Int32Array;
  readonly loop: Loop;
}

interface Hung {
  readonly begin: () => void;
  readonly end: Timer | null;
}

export class FaultImage implements Image {
  readonly direct: boolean;
  private readonly image: Image;
  private readonly o: FaultImageOptions;
  /** As many as calls may be under way (server/budget.ts). */
  private readonly hung = new Set<Hung>();
  /** In the order in which they were written. */
  private readonly recent = new Set<number>();

  constructor(image: Image, options: FaultImageOptions) {
    this.direct = image.direct;
    this.image = image;
    this.o = options;
  }

  get punches(): boolean {
    return this.image.punches;
  }

  read(slot: number, count: number, dst: Uint8Array, at: number, done: ImageDone): void {
    const begin = (): void => this.image.read(slot, count, dst, at, done);
    this.call('image.read', slot, count, done, begin);
  }

  write(slot: number, pages: readonly Uint8Array[], done: ImageDone): void {
    const { length: count } = pages;
    const begin = (injection: Injection | null): void => {
      if (injection === null) this.image.write(slot, pages, done);
      else if (injection.action === 'misdirected') this.misdirect(injection, slot, pages, done);
      else this.tear(injection, slot, pages, done);
      this.remember(slot, count);
    };
    const can = ({ action }: FaultRule): boolean => action !== 'misdirected' || this.victim(slot, count, 0) >= 0;
    this.call('image.write', slot, count, done, begin, can);
  }

  punch(slot: number, count: number, done: ImageDone): void {
    this.call('image.punch', slot, count, done, () => this.image.punch(slot, count, done));
    this.forget(slot, count);
  }

  zero(slot: number, count: number, done: ImageDone): void {
    this.call('image.punch', slot, count, done, () => this.image.zero(slot, count, done));
    this.forget(slot, count);
  }

  sync(done: ImageDone): void {
    this.call('image.sync', -1, 0, done, () => this.image.sync(done));
  }

  close(): void {
    this.image.close();
    this.heal();
  }

  /** What hangs goes on. To be called when it is taken off. */
  heal(): void {
    for (const one of this.hung) this.release(one);
  }

  /** `begin` is told of an injection that is its own matter; what all calls have in common happens here. */
  private call(
    site: SiteName,
    slot: number,
    count: number,
    done: ImageDone,
    begin: (injection: Injection | null) => void,
    can?: (rule: FaultRule) => boolean,
  ): void {
    const { gate, x, loop } = this.o;
    const injections = gate.reach(site, { x, slot, count }, can);
    let ms = 0;
    let other: Injection | null = null;
    for (const injection of injections) {
      if (injection.action === 'latency')
        ms += injection.extra('latency') + injection.draw(0, injection.extra('jitter'));
      else other ??= injection;
    }
    const go = (): void => this.go(other, done, begin);
    if (ms > 0) loop.after(ms, go);
    else go();
  }

  private go(injection: Injection | null, done: ImageDone, begin: (injection: Injection | null) => void): void {
    const { loop, flags } = this.o;
    // The contract: never before the call has returned.
    const answer = (errno: number): void => loop.defer(() => done(errno));
    const action = injection?.action;
    const { site } = injection?.rule ?? {};
    if (injection === null) begin(null);
    else if (action === 'hang') this.hang(injection, () => begin(null));
    else if (action === 'lost' || action === 'lie') answer(0);
    else if (site === 'image.sync') {
      noteSyncFailed(flags, this.direct);
      answer(EIO);
    } else if (action === 'EIO' || action === 'ENOSPC') answer(action === 'EIO' ? EIO : ENOSPC);
    else begin(injection);
  }

  private hang({ rule }: Injection, begin: () => void): void {
    const { gate, loop } = this.o;
    const left = rule.for === null ? null : Math.max(0, rule.at + rule.for - gate.since);
    const one: Hung = { begin, end: left === null ? null : loop.after(left, () => this.release(one)) };
    this.hung.add(one);
  }

  private release(one: Hung): void {
    one.end?.cancel();
    if (this.hung.delete(one)) one.begin();
  }

  /** Writes up to a sector inside the pages, and says that all is well (torn) or not (short). */
  private tear(injection: Injection, slot: number, pages: readonly Uint8Array[], done: ImageDone): void {
    const end = (injection.draw(0, (pages.length * PAGE_SIZE) / SECTOR - 1) + 1) * SECTOR;
    const whole = Math.floor(end / PAGE_SIZE);
    const within = end % PAGE_SIZE;
    const finish: ImageDone = (errno) => done(errno === 0 && injection.action === 'short' ? EIO : errno);
    if (within === 0) {
      this.image.write(slot, pages.slice(0, whole), finish);
      return;
    }
    const mixed = alignedBytes(PAGE_SIZE);
    this.image.read(slot + whole, 1, mixed, 0, (errno) => {
      mixed.set(pages[whole].subarray(0, within));
      if (errno !== 0) done(errno);
      else this.image.write(slot, [...pages.slice(0, whole), mixed], finish);
    });
  }

  /** The first page hits another slot, those behind it are written where they belong. */
  private misdirect(injection: Injection, slot: number, pages: readonly Uint8Array[], done: ImageDone): void {
    const victim = this.victim(slot, pages.length, injection.draw(0, RECENT_MAX));
    this.o.gate.tell(injection, { x: this.o.x, slot: victim, count: 1 });
    this.image.write(victim, pages.slice(0, 1), (errno) => {
      if (errno !== 0 || pages.length === 1) done(errno);
      else this.image.write(slot + 1, pages.slice(1), done);
    });
  }

  /** A slot that was written lately, and is not among these; -1 if there is none. */
  private victim(slot: number, count: number, drawn: number): number {
    const others = [...this.recent].filter((one) => one < slot || one >= slot + count);
    return others.length === 0 ? -1 : others[drawn % others.length];
  }

  private remember(slot: number, count: number): void {
    this.forget(slot, count);
    for (let i = 0; i < count; i++) this.recent.add(slot + i);
    for (const oldest of this.recent) {
      if (this.recent.size <= RECENT_MAX) return;
      this.recent.delete(oldest);
    }
  }

  private forget(slot: number, count: number): void {
    for (let i = 0; i < count; i++) this.recent.delete(slot + i);
  }
}
