/**
 * Random operations on a device and, beside it, on a flat array of bytes that has to say the same.
 *
 * Operations run side by side on several connections. Two that touch a slot and of which one changes it are never in
 * flight together, since NBD leaves that order open; so what the model says when an operation is sent is what its reply
 * has to say. All choices come from the seed and none from time: the same seed asks for the same operations.
 */
import { type Extent, NBD_ENOSPC, NBD_STATE_ZERO, type NbdClient, NbdError } from 'node-nbd-server';
import type { Random } from '../../support/random.ts';

const PAGE = 4096;
/** Operations in flight over all connections. */
const MAX_IN_FLIGHT = 24;

export interface ModelOptions {
  readonly random: Random;
  readonly bytes: number;
  /** Whether FLUSH and FUA are offered. */
  readonly strict: boolean;
  /** Whether a write may be refused for want of space. */
  readonly mayRefuse: boolean;
}

interface Running {
  readonly first: number;
  readonly end: number;
  readonly changes: boolean;
  readonly done: Promise<void>;
}

export class DeviceModel {
  readonly bytes: Buffer;
  /** What was done, by kind, and how many writes were refused. */
  readonly counts: Record<string, number> = {};
  readonly #o: ModelOptions;
  readonly #random: Random;
  #running: Running[] = [];
  #failure: Error | null = null;
  #n = 0;

  constructor(o: ModelOptions) {
    this.#o = o;
    this.#random = o.random;
    this.bytes = Buffer.alloc(o.bytes);
  }

  /** Sends `count` operations, or fewer at the deadline, waits for all replies, and throws the first difference. */
  async run(clients: readonly NbdClient[], count: number, deadline: number): Promise<void> {
    for (let n = 0; n < count && this.#failure === null && performance.now() < deadline; n++) {
      await this.#one(clients[this.#random.below(clients.length)]);
    }
    await Promise.all(this.#running.map((one) => one.done));
    if (this.#failure !== null) throw this.#failure;
  }

  /** Reads all of the device and compares. */
  async compare(client: NbdClient): Promise<void> {
    for (let at = 0; at < this.bytes.length; at += 1 << 20) {
      this.#expect('final read', at, await client.read(at, Math.min(1 << 20, this.bytes.length - at)));
    }
  }

  async #one(client: NbdClient): Promise<void> {
    const kind = this.#random.below(100);
    this.#n++;
    if (kind < 28) await this.#write(client, ...this.#pages(1, 16));
    else if (kind < 40) await this.#write(client, ...this.#ragged(12_000));
    else if (kind < 42) await this.#write(client, ...this.#ragged(600_000));
    else if (kind < 66) await this.#read(client, ...this.#ragged(40_000));
    else if (kind < 70) await this.#read(client, ...this.#ragged(900_000));
    else if (kind < 78) await this.#trim(client, ...this.#ragged(150_000));
    else if (kind < 86) await this.#zero(client, ...this.#ragged(100_000));
    else if (kind < 88) await this.#trim(client, ...this.#ragged(this.bytes.length / 4));
    else if (kind < 96) await this.#status(client, ...this.#ragged(this.bytes.length / 2));
    else if (this.#o.strict) await this.#start('flush', 0, 0, false, () => client.flush());
    else await this.#start('cache', 0, PAGE, false, () => client.cache(0, PAGE));
  }

  #pages(least: number, most: number): [number, number] {
    const count = least + this.#random.below(most - least + 1);
    return [this.#random.below(this.bytes.length / PAGE - count + 1) * PAGE, count * PAGE];
  }

  /** Any range; half of them start or end on a page, where mistakes are made. */
  #ragged(most: number): [number, number] {
    const { length: size } = this.bytes;
    let at = this.#random.below(size);
    let end = Math.min(size, at + 1 + this.#random.below(most));
    if (this.#random.chance(0.3)) at -= at % PAGE;
    if (this.#random.chance(0.3)) end = Math.min(size, Math.ceil(end / PAGE) * PAGE);
    return [at, end - at];
  }

  #content(length: number): Buffer {
    const random = this.#random;
    const data = Buffer.alloc(length);
    // Page by page another kind: zeros, one word, text, half noise, noise.
    for (let at = 0; at < length; at += PAGE) {
      const kind = random.below(8);
      const page = data.subarray(at, at + PAGE);
      if (kind === 1) page.fill(Buffer.from([random.below(256), 1, 2, random.below(256)]));
      else if (kind === 2 || kind === 3) page.fill(`operation ${this.#n}, ${random.word()}. `);
      else if (kind > 3) fillNoise(random, page.subarray(0, kind < 6 ? PAGE / 2 : PAGE));
    }
    return data;
  }

  async #write(client: NbdClient, at: number, length: number): Promise<void> {
    const data = this.#content(length);
    const fua = this.#o.strict && this.#random.chance(0.1);
    await this.#start(length % PAGE === 0 && at % PAGE === 0 ? 'write' : 'part', at, length, true, async () => {
      const before = Buffer.from(this.#around(at, length));
      data.copy(this.bytes, at);
      try {
        await client.write(at, data, { fua });
      } catch (error) {
        await this.#refused(client, at, length, before, error);
      }
    });
  }

  /** The pages around a range. */
  #around(at: number, length: number): Buffer {
    return this.bytes.subarray(at - (at % PAGE), Math.ceil((at + length) / PAGE) * PAGE);
  }

  /** After a refused write each page is the old or the new one; which, the device is asked. */
  async #refused(client: NbdClient, at: number, length: number, before: Buffer, error: unknown): Promise<void> {
    if (!this.#o.mayRefuse || !(error instanceof NbdError) || error.errno !== NBD_ENOSPC) throw error;
    this.#count('refused');
    const first = at - (at % PAGE);
    const now = await client.read(first, before.length);
    const after = this.#around(at, length);
    for (let page = 0; page < before.length; page += PAGE) {
      const is = now.subarray(page, page + PAGE);
      if (!is.equals(before.subarray(page, page + PAGE)) && !is.equals(after.subarray(page, page + PAGE))) {
        throw new Error(`slot ${(first + page) / PAGE} is neither the old nor the new page after a refused write`);
      }
    }
    now.copy(this.bytes, first);
  }

  async #read(client: NbdClient, at: number, length: number): Promise<void> {
    const df = length <= 65_536 && client.structured && this.#random.chance(0.2);
    await this.#start('read', at, length, false, async () => {
      this.#expect('read', at, await client.read(at, length, { df }));
    });
  }

  async #trim(client: NbdClient, at: number, length: number): Promise<void> {
    const first = Math.ceil(at / PAGE) * PAGE;
    const end = Math.floor((at + length) / PAGE) * PAGE;
    await this.#start('trim', at, length, true, async () => {
      // Rounded inward; what was trimmed reads as zeros here, although NBD would allow anything.
      if (end > first) this.bytes.fill(0, first, end);
      await client.trim(at, length);
    });
  }

  async #zero(client: NbdClient, at: number, length: number): Promise<void> {
    const noHole = this.#random.chance(0.5);
    await this.#start('zero', at, length, true, async () => {
      const before = Buffer.from(this.#around(at, length));
      this.bytes.fill(0, at, at + length);
      try {
        await client.writeZeroes(at, length, { noHole });
      } catch (error) {
        await this.#refused(client, at, length, before, error);
      }
    });
  }

  async #status(client: NbdClient, at: number, length: number): Promise<void> {
    const reqOne = this.#random.chance(0.3);
    if (!client.baseAllocation) return;
    await this.#start('status', at, length, false, async () => {
      const extents = await client.blockStatus(at, length, { reqOne });
      this.#checkExtents(extents, at, length, reqOne);
    });
  }

  #checkExtents(extents: readonly Extent[], at: number, length: number, reqOne: boolean): void {
    if (extents.length === 0 || (reqOne && extents.length !== 1)) throw new Error(`${extents.length} extents`);
    let from = at;
    for (const { length: extent, flags } of extents) {
      if (from >= at + length) throw new Error('an extent begins beyond the range');
      const zeros = this.bytes.subarray(from, Math.min(from + extent, this.bytes.length));
      if ((flags & NBD_STATE_ZERO) !== 0 && !isZero(zeros)) throw new Error(`${from}+${extent} is not zero`);
      from += extent;
    }
    if (reqOne && from > at + length) throw new Error('REQ_ONE is longer than was asked');
  }

  /** Starts an operation once nothing in flight conflicts with it. */
  async #start(kind: string, at: number, length: number, changes: boolean, go: () => Promise<void>): Promise<void> {
    const first = Math.floor(at / PAGE);
    const end = Math.ceil((at + length) / PAGE);
    for (;;) {
      const others = this.#running.filter((one) => (changes || one.changes) && one.first < end && first < one.end);
      if (this.#running.length >= MAX_IN_FLIGHT) others.push(this.#running[0]);
      if (others.length === 0) break;
      await Promise.all(others.map((one) => one.done));
    }
    this.#count(kind);
    const n = this.#n;
    const done = go()
      .catch((error: unknown) => {
        const text = error instanceof NbdError ? `${error.code}: ${error.message}` : String(error);
        this.#failure ??= new Error(`operation ${n}, ${kind} of ${length} at ${at}: ${text}`, { cause: error });
      })
      .then(() => {
        this.#running = this.#running.filter((one) => one !== running);
      });
    const running: Running = { first, end, changes, done };
    this.#running.push(running);
  }

  #count(kind: string): void {
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }

  #expect(what: string, at: number, found: Buffer): void {
    if (this.bytes.subarray(at, at + found.length).equals(found)) return;
    let differs = 0;
    while (found[differs] === this.bytes[at + differs]) differs++;
    const place = at + differs;
    throw new Error(
      `${what}: byte ${place} (slot ${Math.floor(place / PAGE)}) is ${found[differs]}, not ${this.bytes[place]}`,
    );
  }
}

function fillNoise(random: Random, bytes: Buffer): void {
  for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random.word(), at);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
