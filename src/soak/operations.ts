/**
 * The operations of a soak: each sends one request for slots that its caller has locked, tells the ledger how it ended, and
 * the model what follows. A WRITE that was not answered may be sent again over another connection, as Linux does.
 */
import type { NbdClient } from 'node-nbd-server';
import type { Checker } from './checker.ts';
import type { Kind, Ledger } from './ledger.ts';
import type { Link, Links, Outcome } from './link.ts';
import { type Model, WHOLE } from './model.ts';
import { PAGE, type Pages, SECTOR, SECTORS, type Version } from './page.ts';
import type { Random } from './random.ts';

/** So often a WRITE is sent again. */
const RESENDS = 3;

/** Slots, or sectors of one slot. */
interface Extent {
  readonly slot: number;
  readonly count: number;
  /** Of the one slot; all of it unless given. */
  readonly first?: number;
  readonly end?: number;
}

export interface World {
  readonly model: Model;
  readonly pages: Pages;
  readonly checker: Checker;
  readonly ledger: Ledger;
  readonly links: Links;
  /** Whether TRIM promises zeros: by the protocol a server may keep what was there. */
  readonly trimZeroes: boolean;
}

/** A WRITE that can be sent, more than once. */
export interface Prepared extends Extent {
  readonly versions: readonly Version[];
  readonly payload: Buffer;
}

const isPart = ({ first, end }: Extent): boolean => first !== undefined && (first > 0 || end !== SECTORS);
const maskOf = ({ first = 0, end = SECTORS }: Extent): number => WHOLE & ((1 << end) - 1) & ~((1 << first) - 1);
const offsetOf = ({ slot, first = 0 }: Extent): number => slot * PAGE + first * SECTOR;
const lengthOf = ({ count, first = 0, end = SECTORS }: Extent): number => (count - 1) * PAGE + (end - first) * SECTOR;

export class Operations {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  async read(extent: Extent, link: Link): Promise<Outcome> {
    const kind = isPart(extent) ? 'part_read' : 'read';
    return await this.#send(kind, extent, link, (client) => client.read(offsetOf(extent), lengthOf(extent)));
  }

  /** Holds what was read against the model. */
  verify({ slot, count, first = 0 }: Extent, data: Buffer): void {
    const { checker, ledger } = this.#world;
    for (let i = 0; i < count; i++) {
      const wrong = checker.check(slot + i, data.subarray(i * PAGE, Math.min(data.length, (i + 1) * PAGE)), first);
      if (wrong === null) ledger.right(slot + i);
      else ledger.found(wrong);
    }
  }

  async readAndVerify(extent: Extent, link: Link): Promise<Outcome> {
    const outcome = await this.read(extent, link);
    if (outcome.end === 'ok') this.verify(extent, outcome.data);
    return outcome;
  }

  prepare(extent: Extent, writer: number): Prepared {
    const { model, pages } = this.#world;
    const { slot, count, first = 0, end = SECTORS } = extent;
    const versions = Array.from({ length: count }, (_, i) => model.next(slot + i, writer));
    const payload = Buffer.allocUnsafe(lengthOf(extent));
    for (let i = 0; i < count; i++) pages.fill(payload, i * PAGE, slot + i, versions[i], first, end);
    return { ...extent, versions, payload };
  }

  /** `resend`: whether to send it again, over another connection, when it is not answered. */
  async write(one: Prepared, link: Link, random: Random, resend: boolean): Promise<Outcome> {
    const kind = isPart(one) ? 'part_write' : 'write';
    let outcome = await this.#send(kind, one, link, (client) => none(client.write(offsetOf(one), one.payload)));
    this.wrote(one, outcome);
    for (let i = 0; i < RESENDS && resend && outcome.end === 'unanswered'; i++) {
      const other = await this.#world.links.pick(random, link);
      if (other === null) return outcome;
      outcome = await this.resend(one, other);
    }
    return outcome;
  }

  /** Sends a WRITE again that was not answered. What that may have left is known already. */
  async resend(one: Prepared, link: Link): Promise<Outcome> {
    const outcome = await this.#send('resend', one, link, (client) => none(client.write(offsetOf(one), one.payload)));
    if (outcome.end === 'ok') this.wrote(one, outcome);
    return outcome;
  }

  /** What a WRITE comes to, for the model. */
  wrote(one: Prepared, { end }: Outcome): void {
    const { model, ledger } = this.#world;
    const mask = maskOf(one);
    for (const [i, version] of one.versions.entries()) {
      if (end === 'ok') model.ok(one.slot + i, mask, version);
      else model.maybe(one.slot + i, mask, version);
      if (end === 'ok' && mask === WHOLE) ledger.changed(one.slot + i);
    }
  }

  trim(extent: Extent, link: Link): Promise<Outcome> {
    const run = (client: NbdClient): Promise<undefined> => none(client.trim(offsetOf(extent), lengthOf(extent)));
    return this.#zero('trim', extent, link, this.#world.trimZeroes, run);
  }

  writeZeroes(extent: Extent, noHole: boolean, link: Link): Promise<Outcome> {
    return this.#zero('write_zeroes', extent, link, true, (client) =>
      none(client.writeZeroes(offsetOf(extent), lengthOf(extent), { noHole })),
    );
  }

  async flush(link: Link): Promise<Outcome> {
    const { model } = this.#world;
    const order = model.flushing();
    const outcome = await this.#send('flush', { slot: -1, count: 0 }, link, (client) => none(client.flush()));
    if (outcome.end === 'ok') model.flushed(order);
    return outcome;
  }

  cache(extent: Extent, link: Link): Promise<Outcome> {
    return this.#send('cache', extent, link, (client) => none(client.cache(offsetOf(extent), lengthOf(extent))));
  }

  blockStatus(extent: Extent, link: Link): Promise<Outcome> {
    return this.#send('block_status', extent, link, async (client) => {
      await client.blockStatus(offsetOf(extent), lengthOf(extent));
      return undefined;
    });
  }

  async #zero(
    kind: Kind,
    extent: Extent,
    link: Link,
    sure: boolean,
    run: (client: NbdClient) => Promise<undefined>,
  ): Promise<Outcome> {
    const { model, ledger } = this.#world;
    const outcome = await this.#send(kind, extent, link, run);
    const mask = maskOf(extent);
    for (let slot = extent.slot; slot < extent.slot + extent.count; slot++) {
      if (outcome.end === 'ok' && sure) model.ok(slot, mask, 0);
      else model.maybe(slot, mask, 0);
      if (outcome.end === 'ok' && mask === WHOLE) ledger.changed(slot);
    }
    return outcome;
  }

  async #send(
    kind: Kind,
    extent: Extent,
    link: Link,
    run: (client: NbdClient) => Promise<Buffer | undefined>,
  ): Promise<Outcome> {
    const { ledger } = this.#world;
    const beganMs = performance.now();
    const outcome = await link.request(run);
    const { slot, count } = extent;
    if (outcome.end === 'ok') ledger.ok(kind, count === 0 ? 0 : lengthOf(extent), beganMs);
    else if (outcome.end === 'failed') ledger.failed(kind, outcome.code, { link: link.index, slot, count, beganMs });
    else ledger.unanswered(kind);
    return outcome;
  }
}

async function none(done: Promise<void>): Promise<undefined> {
  await done;
  return undefined;
}
