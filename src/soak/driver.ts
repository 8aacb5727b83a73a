/**
 * Drives the device: tasks that each do one shape after the other, over connections that all of them share; and, when they
 * have stopped, the reading back of everything.
 */
import { setTimeout as delay } from 'node:timers/promises';
import * as nbd from 'node-nbd-server';
import { Checker } from './checker.ts';
import { verifyImage } from './end_checks.ts';
import type { Abilities, Hand } from './hand.ts';
import { Ledger } from './ledger.ts';
import { Links } from './link.ts';
import type { Load } from './load.ts';
import { Model } from './model.ts';
import { Operations, type World } from './operations.ts';
import { Pace } from './pace.ts';
import { PAGE, Pages, SECTOR } from './page.ts';
import { Picker } from './picker.ts';
import { Random } from './random.ts';
import { shapesFor } from './shapes.ts';
import type { Target } from './uri.ts';
import { type Check, checkKinds } from './verdict.ts';

/** Tasks of a guest that fault and reclaim at one time. */
const TASKS = 12;
const CONNECTIONS = 4;
/** Of a device of which more is offered, no more is used: all of it is read back in the end. */
const SLOTS_MAX = 2 ** 16;
const READ_BACK_SLOTS = 32;
const READ_BACK_DEPTH = 8;
/** Without a request that ends well, when everything is to go well. */
const HANG_MS = 20_000;
/** A request ends by its time-out; one that is sent again does so a few times. */
const STOP_MS = 60_000;
const STREAM_PICKER = 2;
const STREAM_TASKS = 100;

interface DriverOptions {
  readonly target: Target;
  readonly seed: number;
  /** A server that keeps what was flushed when it is killed. */
  readonly strict: boolean;
  /** Content that is not known: it is zeroed first. */
  readonly used: boolean;
  /**
   * A zswapd, which promises more than the protocol does: what was trimmed is zeros, and nothing of a connection that has
   * ended lands later. Of any other server the first is not expected, and the second is not tried.
   */
  readonly ours: boolean;
  readonly timeoutMs: number;
  /** Shapes that begin in a second, at most. */
  readonly rate: number;
}

export class Driver implements Load {
  readonly ledger: Ledger;
  readonly stopMs = STOP_MS;
  readonly #model: Model;
  readonly #links: Links;
  readonly #operations: Operations;
  readonly #can: Abilities;
  readonly #world: World;
  readonly #picker: Picker;
  readonly #pace: Pace;
  readonly #seed: number;
  #stopping = false;
  #tasks: Promise<unknown> = Promise.resolve();
  /** What a task threw: a fault of the soak itself. */
  failure: unknown = null;

  /** Asks the export what it offers. */
  static async begin(o: DriverOptions): Promise<Driver> {
    const client = await nbd.NbdClient.connect({ ...o.target.address, export: o.target.name, baseAllocation: true });
    const { size, flags, info, baseAllocation } = client;
    await client.disconnect();
    const offers = (flag: number): boolean => (flags & flag) !== 0;
    const can = {
      trim: offers(nbd.NBD_FLAG_SEND_TRIM),
      writeZeroes: offers(nbd.NBD_FLAG_SEND_WRITE_ZEROES),
      flush: offers(nbd.NBD_FLAG_SEND_FLUSH),
      cache: offers(nbd.NBD_FLAG_SEND_CACHE),
      blockStatus: baseAllocation,
      parts: (info.minBlock ?? 1) <= SECTOR,
      cuts: o.ours,
    };
    const driver = new Driver(o, Math.min(SLOTS_MAX, Math.floor(size / PAGE)), can);
    if (o.used) await driver.#clear();
    return driver;
  }

  private constructor(o: DriverOptions, slots: number, can: Abilities) {
    this.#can = can;
    this.#seed = o.seed;
    this.ledger = new Ledger(slots);
    this.#model = new Model(slots, o.strict);
    this.#links = new Links(o.target, CONNECTIONS, o.timeoutMs, this.ledger);
    const pages = new Pages(o.seed);
    const checker = new Checker(this.#model, pages);
    this.#world = {
      ...{ model: this.#model, ledger: this.ledger, links: this.#links },
      ...{ pages, checker, trimZeroes: o.ours },
    };
    this.#operations = new Operations(this.#world);
    this.#picker = new Picker(this.#model, new Random(o.seed, STREAM_PICKER));
    this.#pace = new Pace(o.rate);
  }

  get slots(): number {
    return this.#model.slots;
  }

  get unsureSlots(): number {
    return this.#model.unsureSlots;
  }

  start(): void {
    this.#stopping = false;
    this.#links.patient = true;
    this.#tasks = Promise.all(Array.from({ length: TASKS }, (_, writer) => this.#guard(() => this.#task(writer))));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#links.patient = false;
    await this.#tasks;
    this.#links.patient = true;
  }

  async readBack(signal: AbortSignal): Promise<number[]> {
    const random = new Random(this.#seed, STREAM_TASKS - 1);
    const unreadable: number[] = [];
    let next = 0;
    const read = async (slot: number, count: number): Promise<void> => {
      const link = await this.#links.pick(random);
      if (link === null) return;
      const { end } = await this.#operations.readAndVerify({ slot, count }, link);
      if (end === 'ok') return;
      if (count === 1) unreadable.push(slot);
      else for (let i = 0; i < count; i++) await read(slot + i, 1);
    };
    const reader = async (): Promise<void> => {
      while (next < this.#model.slots && !signal.aborted) {
        const slot = next;
        next += READ_BACK_SLOTS;
        await read(slot, Math.min(READ_BACK_SLOTS, this.#model.slots - slot));
      }
    };
    await this.#guard(() => Promise.all(Array.from({ length: READ_BACK_DEPTH }, reader)));
    return unreadable.sort((a, b) => a - b);
  }

  async mend(slot: number): Promise<boolean> {
    const random = new Random(this.#seed, STREAM_TASKS - 2);
    const link = await this.#links.pick(random);
    if (link === null) return false;
    const one = { slot, count: 1 };
    const wrote = await this.#operations.write(this.#operations.prepare(one, TASKS), link, random, true);
    return wrote.end === 'ok' && (await this.#operations.readAndVerify(one, link)).end === 'ok';
  }

  giveUp(): void {
    this.#stopping = true;
    this.#links.patient = false;
  }

  async flush(): Promise<boolean> {
    if (!this.#can.flush) return true;
    const link = await this.#links.pick(new Random(this.#seed, STREAM_TASKS - 4));
    return link !== null && (await this.#operations.flush(link)).end === 'ok';
  }

  expectLoss(): void {
    this.#links.expectLoss = true;
  }

  crashed(): void {
    this.#links.expectLoss = false;
    this.#model.crash();
  }

  emptied(): void {
    this.#links.expectLoss = false;
    this.#model.empty();
    for (let slot = 0; slot < this.slots; slot++) this.ledger.changed(slot);
  }

  hangs(sinceMs: number): string | null {
    const idleMs = performance.now() - Math.max(this.ledger.lastOkMs, sinceMs);
    return idleMs > HANG_MS ? `no request ended well for ${HANG_MS / 1000} s, without any fault` : null;
  }

  close(): Promise<void> {
    return this.#links.close();
  }

  verifyImage(path: string): number {
    verifyImage(path, this.slots, this.#operations);
    return this.slots;
  }

  checks(): Check[] {
    return [checkKinds(this.ledger, this.#can)];
  }

  async #task(writer: number): Promise<void> {
    const random = new Random(this.#seed, STREAM_TASKS + writer);
    const shapes = shapesFor(this.#can);
    const hand: Hand = {
      ...{ world: this.#world, picker: this.#picker, operations: this.#operations, can: this.#can },
      ...{ random, writer },
    };
    while (!this.#stopping && this.failure === null) {
      const link = await this.#links.pick(random);
      if (link === null) return;
      await random.weighted(shapes).run(hand, link);
      await this.#pace.turn();
    }
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failure ??= error;
    }
  }

  async #clear(): Promise<void> {
    const random = new Random(this.#seed, STREAM_TASKS - 3);
    const link = await this.#links.pick(random);
    for (let slot = 0; link !== null && slot < this.#model.slots; slot += READ_BACK_SLOTS) {
      const range = { slot, count: Math.min(READ_BACK_SLOTS, this.#model.slots - slot) };
      if (this.#can.writeZeroes) await this.#operations.writeZeroes(range, false, link);
      else await this.#operations.write(this.#operations.prepare(range, TASKS), link, random, true);
      await delay(0);
    }
  }
}
