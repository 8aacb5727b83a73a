/**
 * The agent of one export, as the main thread of a server sees it: whose turn it is (session and sequence), the cgroups that it
 * has named, and what is counted. What a batch says of slots is the shrinker's thread's to do (reports.ts).
 *
 *   a batch   names, some in each turn of the event loop -> records to the shrinker ... answer -> cgroups that are gone
 *
 * One batch is under way at a time; another is told to come again. A sequence is answered once with effect, and once more from
 * memory, because an answer may be lost on its way.
 */
import { BATCH_BYTES_MAX, BATCH_SLOTS_MAX, type Batch, PATH_BYTES_MAX } from '../control/agent_batch.ts';
import { nowMicros } from '../os/clock.ts';
import { Cgroups } from '../pool/cgroups.ts';
import type { MemcgTree } from '../pool/memcg_tree.ts';
import { CGROUPS_MAX, NOBODY, type Owners } from '../pool/owners.ts';
import type { BatchResult, ReportBatch } from '../zswap/reports.ts';

/** Names that one turn of the event loop deals with: each may take some 100 us, when a memcg goes offline. */
const NAMES_PER_TURN = 32;

/** What the client is told: a status, and a body. */
interface AgentAnswer {
  readonly status: 200 | 409 | 503;
  readonly body: object;
}

interface ServedAgentOptions {
  readonly x: number;
  readonly slots: number;
  /** Path of the memcg of the export. */
  readonly base: string;
  readonly tree: MemcgTree;
  readonly owners: Owners;
  /** To the shrinker's thread. */
  readonly send: (batch: ReportBatch) => Promise<BatchResult>;
}

export class ServedAgent {
  private readonly o: ServedAgentOptions;
  private readonly cgroups: Cgroups;
  private session: string | null = null;
  private expects = 0;
  private resync: 'never' | 'running' | 'done' = 'never';
  private last: object | null = null;
  private busy = false;
  private readonly counted = {
    batches: 0,
    bytes: 0,
    events: 0,
    moved: 0,
    late: 0,
    dead: 0,
    unknown: 0,
    lost: 0,
    gaps: 0,
    refused: 0,
  };

  constructor(o: ServedAgentOptions) {
    this.o = o;
    this.cgroups = new Cgroups(o.tree, o.owners, o.x, o.base);
  }

  /** Answer of GET. */
  state(): object {
    const limits = {
      batchBytes: BATCH_BYTES_MAX,
      batchSlots: BATCH_SLOTS_MAX,
      cgroups: CGROUPS_MAX,
      pathBytes: PATH_BYTES_MAX,
    };
    const { session, expects } = this;
    return { version: 1, slots: this.o.slots, now: now(), session, expects, limits };
  }

  /** For stats. */
  report(): object {
    const { session, resync, counted, cgroups } = this;
    return { session, resync, cgroups: cgroups.count, ...counted };
  }

  /** A request that came to nothing. */
  refuse(): void {
    this.counted.refused++;
  }

  async apply(batch: Batch, bytes: number): Promise<AgentAnswer> {
    const answer = await this.take(batch, bytes);
    if (answer.status !== 200) this.refuse();
    return answer;
  }

  private async take(batch: Batch, bytes: number): Promise<AgentAnswer> {
    if (this.busy) return { status: 503, body: { error: 'a batch of this export is under way, allowed: later' } };
    const { session, sequence } = batch;
    const begins = session !== this.session && sequence === 0;
    if (!begins && session === this.session && sequence === this.expects - 1 && this.last !== null) {
      return { status: 200, body: { ...this.last, now: now() } };
    }
    if (!begins && (session !== this.session || sequence !== this.expects)) return this.gap(batch);
    this.session = session;
    this.expects = sequence;
    this.last = null;
    this.busy = true;
    try {
      return await this.carryOut(batch, bytes);
    } finally {
      this.busy = false;
    }
  }

  private gap({ session, sequence }: Batch): AgentAnswer {
    this.counted.gaps++;
    const allowed = this.session === session ? `${this.expects}` : '0 of a new session';
    const error = `sequence ${sequence} of session ${session}, allowed: ${allowed}`;
    return { status: 409, body: { error, session: this.session, expects: this.expects } };
  }

  private async carryOut(batch: Batch, bytes: number): Promise<AgentAnswer> {
    const { counted, cgroups } = this;
    if (batch.resyncBegins) this.resync = 'running';
    cgroups.reap();
    const unnamed = await this.eachName(batch, (id, path) => path === null || cgroups.name(id, path));
    const { kinds, slots, counts, ids, times, error } = batch;
    let unknown = 0;
    const numbers = Uint16Array.from(ids, (id, i) => {
      const n = id === 0n ? NOBODY : cgroups.numberOf(id);
      if (n === undefined) unknown += counts[i];
      return n ?? NOBODY;
    });
    const { x, send } = this.o;
    const done = await send({ x, forget: batch.resyncBegins, error, kinds, slots, counts, numbers, times });
    await this.eachName(batch, (id, path) => {
      if (path === null) cgroups.gone(id);
      return true;
    });
    if (batch.resyncEnds) this.resync = 'done';
    this.expects = batch.sequence + 1;
    counted.batches++;
    counted.bytes += bytes;
    counted.events += done.applied;
    counted.moved += done.moved;
    counted.late += done.late;
    counted.dead += done.dead;
    counted.unknown += unknown;
    counted.lost += batch.lost;
    this.last = { expects: this.expects, ...done, unknown, unnamed };
    return { status: 200, body: { ...this.last, now: now() } };
  }

  /** Answers for how many it was false. */
  private async eachName({ names }: Batch, deal: (id: bigint, path: string | null) => boolean): Promise<number> {
    let failed = 0;
    for (const [i, { id, path }] of names.entries()) {
      if (i > 0 && i % NAMES_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (!deal(id, path)) failed++;
    }
    return failed;
  }
}

function now(): string {
  return String(Math.floor(nowMicros()));
}
