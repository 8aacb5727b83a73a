/**
 * A killed strict server loses nothing that was flushed. A random workload runs against a model; SIGKILL comes at any
 * time; after the restart each slot has to read as it was at its last FLUSH or FUA, or as something written since.
 *
 * Five rounds on one image in a plain run, many more with ZSWAPD_LONG=1.
 */
import { type NbdClient, NbdError } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { chooseSeed, pageOf, Random, type Texture } from '../../support/random.ts';
import { type RunningServer, startServer } from '../../support/zswapd.ts';
import { PAGE } from './images.ts';

const SLOTS = 1024;
const CLIENTS = 2;
const DEPTH = 8;

/** Everything a slot may read as after a kill: what is durable comes first. */
class Slot {
  allowed: Buffer[] = [Buffer.alloc(PAGE)];
  /** How many of `allowed` were sent before the last reply. */
  replied = 0;
  /** Whether an operation on it is with the server. */
  busy = false;

  begin(content: Buffer): void {
    this.allowed.push(content);
  }

  /** The newest content was acknowledged. */
  acknowledge(): void {
    this.replied = this.allowed.length - 1;
  }

  /** What was acknowledged as number `index` or later is all that may be read. */
  settle(index: number): void {
    if (index <= 0) return;
    this.allowed.splice(0, index);
    this.replied = Math.max(0, this.replied - index);
  }
}

class Workload {
  readonly #random: Random;
  readonly #slots: readonly Slot[];
  readonly #limit: number;
  readonly #onLimit: () => void;
  operations = 0;
  flushes = 0;

  constructor(random: Random, slots: readonly Slot[], limit: number, onLimit: () => void) {
    this.#random = random;
    this.#slots = slots;
    this.#limit = limit;
    this.#onLimit = onLimit;
  }

  /** One of the workers of a client: operations one after the other until the connection is gone. */
  async work(client: NbdClient): Promise<void> {
    try {
      for (;;) {
        if (++this.operations === this.#limit) this.#onLimit();
        if (this.#random.below(100) < 3) await this.#flush(client);
        else await this.#change(client);
      }
    } catch (error) {
      // The kill. Any other error is a failure of ours.
      if (!(error instanceof NbdError) || error.code !== 'ENOTCONN') throw error;
    }
  }

  async #flush(client: NbdClient): Promise<void> {
    const before = this.#slots.map((slot) => slot.allowed[slot.replied]);
    await client.flush();
    this.flushes++;
    // Others may have flushed, and settled slots, in the meantime.
    for (const [i, slot] of this.#slots.entries()) slot.settle(slot.allowed.indexOf(before[i]));
  }

  async #change(client: NbdClient): Promise<void> {
    const random = this.#random;
    const first = random.below(SLOTS - 8);
    const count = 1 + random.below(8);
    const touched = this.#slots.slice(first, first + count);
    if (touched.some((slot) => slot.busy)) return;
    const fua = random.chance(0.05);
    const kind = random.below(10);
    const texture: Texture = (['text', 'noise', 'filled'] as const)[random.below(3)];
    const pages = touched.map((_, i) => (kind < 2 ? Buffer.alloc(PAGE) : pageOf(first + i, this.operations, texture)));
    for (const [i, slot] of touched.entries()) {
      slot.busy = true;
      slot.begin(pages[i]);
    }
    if (kind === 0) await client.trim(first * PAGE, count * PAGE, { fua });
    else if (kind === 1) await client.writeZeroes(first * PAGE, count * PAGE, { fua });
    else await client.write(first * PAGE, Buffer.concat(pages), { fua });
    for (const slot of touched) {
      slot.busy = false;
      slot.acknowledge();
      if (fua) slot.settle(slot.replied);
    }
  }
}

const settings = [
  ['pool.max=64MiB'],
  ['pool.max=1MiB'],
  ['pool.max=1MiB', 'lanes=0'],
  ['pool.max=1MiB', 'image.direct=off'],
  ['pool.max=64MiB', 'pool.incompressible=store', 'lanes=1'],
];

async function start(t: Test, folder: string | undefined, round: number): Promise<RunningServer> {
  const set = ['durability=strict', ...settings[round % settings.length]];
  return startServer(t, { size: '4MiB', set, ...(folder === undefined ? {} : { folder }) });
}

/** What each slot reads as has to be allowed; from then on it is what is durable. */
async function check(t: Test, server: RunningServer, slots: readonly Slot[]): Promise<void> {
  const client = await server.connect();
  const wrong: number[] = [];
  for (const [i, slot] of slots.entries()) {
    const page = await client.read(i * PAGE, PAGE);
    if (!slot.allowed.some((content) => content.equals(page))) wrong.push(i);
    slot.allowed = [page];
    slot.replied = 0;
    slot.busy = false;
  }
  t.same(wrong, [], 'slots that lost what was flushed');
  await client.disconnect();
}

const seed = chooseSeed();
const rounds = process.env.ZSWAPD_LONG === '1' ? 60 : 5;
t.setTimeout(rounds * 20_000);
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);
const slots = Array.from({ length: SLOTS }, () => new Slot());
let folder: string | undefined;

t.test(`what was flushed outlives a kill, ${rounds} rounds`, async (t) => {
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed + round);
    const server = await start(t, folder, round);
    folder = server.folder;
    if (round > 0) {
      await check(t, server, slots);
      t.not((await server.logged('later writes may be gone')).length, 0);
    }
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => server.connect()));
    const workload = new Workload(random, slots, 200 + random.below(1500), () => server.child.kill('SIGKILL'));
    await Promise.all(clients.flatMap((client) => Array.from({ length: DEPTH }, () => workload.work(client))));
    await server.ended;
    t.comment(`round ${round}: killed after ${workload.operations} operations, ${workload.flushes} flushes`);
  }
  const last = await start(t, folder, rounds);
  await check(t, last, slots);
  t.equal((await last.stop()).code, 0);
});
