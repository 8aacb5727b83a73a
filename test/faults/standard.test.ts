// The standard plan: it is one that the default config takes, and under it nobody reads wrong bytes. With ZSWAPD_LONG the whole
// of its first minute, and else what of it happens at once.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { loadPlan } from '#src/config/fault_plan.js';
import { REPOSITORY } from '#src/config/fields.js';
import { loadConfigText } from '#src/config/load.js';
import { askFaults as ask } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { chooseSeed, Random } from '../support/random.ts';
import { type RunningServer, startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const FILE = join(REPOSITORY, 'config/faults/standard.jsonc');
const WORKERS = 8;
const SLOTS = 4096;
const SECONDS = process.env.ZSWAPD_LONG === '1' ? 50 : 1;

t.test('the default config takes it', async (t) => {
  const { config } = loadConfigText('c', '{}');
  const { faults } = loadPlan(FILE, config);
  t.ok(faults.length > 20);
  t.strictSame(
    faults.filter((one) => one.class === 'may-lose'),
    [],
  );
});

/** What a slot may hold: versions of a page, of which the last that was answered without an error is first. */
type Slots = Map<number, number[]>;

class Worker {
  wrong = 0;
  refused = 0;
  done = 0;
  private client: NbdClient | null = null;
  private readonly server: RunningServer;
  private readonly slots: Slots = new Map();
  private readonly first: number;
  private version = 0;

  constructor(server: RunningServer, first: number) {
    this.server = server;
    this.first = first;
  }

  /** One request, on a slot of its own; a connection that is lost is made again. */
  async step(slot: number, write: boolean): Promise<void> {
    try {
      this.client ??= await this.server.connect();
      if (write) await this.write(this.client, slot);
      else await this.read(this.client, slot);
      this.done++;
    } catch (error) {
      this.refused++;
      if ((error as { code?: string }).code === 'EIO' || (error as { code?: string }).code === 'ENOSPC') return;
      this.client?.destroy();
      this.client = null;
    }
  }

  private async write(client: NbdClient, slot: number): Promise<void> {
    const version = ++this.version;
    const before = this.slots.get(slot) ?? [0];
    this.slots.set(slot, [...before, version]);
    await client.write(slot * PAGE, this.page(slot, version));
    this.slots.set(slot, [version]);
  }

  private async read(client: NbdClient, slot: number): Promise<void> {
    const page = await client.read(slot * PAGE, PAGE);
    const right = (this.slots.get(slot) ?? [0]).some((version) => page.equals(this.page(slot, version)));
    if (!right) this.wrong++;
  }

  private page(slot: number, version: number): Buffer {
    if (version === 0) return Buffer.alloc(PAGE);
    return Buffer.from(makePage(version % 5 === 0 ? 'random' : 'text', slot * 100_003 + version));
  }

  slotOf(random: Random): number {
    return this.first + WORKERS * random.below(SLOTS / WORKERS);
  }

  /** After the plan: writes and reads each slot, and nothing may fail. */
  async settle(): Promise<void> {
    this.refused = 0;
    for (const write of [true, false]) {
      for (let slot = this.first; slot < SLOTS; slot += WORKERS * 4) await this.step(slot, write);
    }
    await this.client?.disconnect();
  }
}

t.test('under it nobody reads wrong bytes, and when it is cleared all is well', { timeout: 200_000 }, async (t) => {
  const server = await startServer(t, { set: ['pool.max=4MiB'] });
  await ask(server, 'POST', readFileSync(FILE, 'utf8'));
  const random = new Random(chooseSeed());
  t.comment(`ZSWAPD_SEED=${random.seed}`);
  const workers = Array.from({ length: WORKERS }, (_, first) => new Worker(server, first));
  const end = performance.now() + SECONDS * 1000;
  await Promise.all(
    workers.map(async (worker) => {
      while (performance.now() < end) await worker.step(worker.slotOf(random), random.chance(0.6));
    }),
  );
  const sum = (of: (worker: Worker) => number): number => workers.reduce((all, worker) => all + of(worker), 0);
  const { faults } = await ask(server, 'GET');
  t.comment(`${sum(({ done }) => done)} requests, ${sum(({ refused }) => refused)} refused`);
  for (const { id, reached, injected } of faults) t.comment(`${id}: reached ${reached}, injected ${injected}`);
  if (SECONDS > 40)
    t.strictSame(
      faults.filter(({ reached }) => reached === 0).map(({ id }) => id),
      [],
    );
  await ask(server, 'DELETE');
  await Promise.all(workers.map((worker) => worker.settle()));
  t.equal(
    sum(({ wrong }) => wrong),
    0,
    'wrong bytes',
  );
  t.equal(
    sum(({ refused }) => refused),
    0,
    'errors after it was cleared',
  );
  t.match(await fetchControl(server.controlPath, '/check', 'GET', 60_000), { ok: true, problems: [] });
});
