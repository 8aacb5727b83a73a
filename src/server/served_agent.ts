/**
 * The agent of one export, as the main thread of a server sees it: whose turn it is (session and sequence), the cgroups that it
 * has named, and what is counted. What a batch says of slots is the shrinker's thread's to do (reports.ts).
 *
 *   a batch   names, some in each turn of the event loop -> records to the shrinker ... answer -> cgroups that are gone -> pages
 *             that they leave behind in a memcg that stays, to the shrinker
 *
 * One batch is under way at a time; another is told to come again. A sequence is answered once with effect, and once more from
 * memory, because an answer may be lost on its way.
 */
import { BATCH_BYTES_MAX, BATCH_SLOTS_MAX, type Batch, PATH_BYTES_MAX } from '../control/agent_batch.ts';
import { nowMicros } from '../os/clock.ts';
import { Cgroups } from '../pool/cgroups.ts';
import type { GuestRows } from '../pool/guest_rows.ts';
import type { MemcgTree } from '../pool/memcg_tree.ts';
import { CGROUPS_MAX, NOBODY, type Owners } from '../pool/owners.ts';
import type { BatchResult, ReportBatch } from '../zswap/reports.ts';

/** What one turn of the event loop does about names, in units of Cgroups.work: each takes some 10 us. One name may have 200 of them. */
const WORK_PER_TURN = 100;

/** To the shrinker: a batch without records. */
const NOTHING: Omit<ReportBatch, 'x'> = {
  forget: false,
  error: 0,
  isAhead: false,
  kinds: new Uint8Array(0),
  slots: new Uint32Array(0),
  counts: new Uint32Array(0),
  numbers: new Uint16Array(0),
  times: new Float64Array(0),
};

/** What the client is told: a status, and a body. */
interface AgentAnswer {
  readonly status: 200 | 409 | 503;
  readonly body: object;
}

interface ServedAgentOptions {
  readonly x: number;
  readonly name: string;
  readonly slots: number;
  /** Path of the memcg of the export. */
  readonly base: string;
  readonly tree: MemcgTree;
  readonly rows: GuestRows;
  readonly owners: Owners;
  /** To the shrinker's thread. */
  readonly send: (batch: ReportBatch) => Promise<BatchResult>;
  readonly warn: (line: string) => void;
}

export class ServedAgent {
  private readonly o: ServedAgentOptions;
  private readonly cgroups: Cgroups;
  private session: string | null = null;
  private expects = 0;
  private resync: 'never' | 'running' | 'done' = 'never';
  private last: object | null = null;
  private busy = false;
  /** The last batch was ahead of us: of those that follow it nothing is said. */
  private wasAhead = false;
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
    ahead: 0,
    refused: 0,
  };

  constructor(o: ServedAgentOptions) {
    this.o = o;
    this.cgroups = new Cgroups(o.tree, o.rows, o.owners, o.x, o.base);
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
    if (begins) this.cgroups.beginSession();
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
    // Before anything else, because it is of the moment at which the batch was there.
    const isAhead = this.isAhead(batch);
    if (batch.resyncBegins) {
      this.resync = 'running';
      // Before the names, so that those of the session before can make way for them.
      await this.send({ forget: true });
      cgroups.beginResync();
    }
    cgroups.reap();
    const { names } = batch;
    const unnamed = await this.each(names, ({ id, path }) => path === null || cgroups.name(id, path));
    const { kinds, slots, counts, ids, times, error } = batch;
    let unknown = 0;
    const numbers = Uint16Array.from(ids, (id, i) => {
      const n = id === 0n ? NOBODY : cgroups.hear(id);
      if (n === undefined) unknown += counts[i];
      return n ?? NOBODY;
    });
    const done = await this.send({ error, isAhead, kinds, slots, counts, numbers, times });
    await this.each(names, ({ id, path }) => {
      if (path === null) cgroups.gone(id);
      return true;
    });
    if (batch.resyncEnds) {
      await this.each(cgroups.takeUnheard(), (id) => {
        cgroups.gone(id);
        return true;
      });
      this.resync = 'done';
    }
    const left = cgroups.takeLeft();
    if (left.size > 0) await this.send({ left });
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

  /**
   * Nobody hears of what has not happened yet, so a time that is later than its error allows says that the agent does not know our
   * clock, as after a suspend that it has not noticed. A page that it calls free may then be of somebody who was charged since.
   */
  private isAhead({ times, error }: Batch): boolean {
    const latest = nowMicros() + error;
    const by = times.reduce((most, time) => Math.max(most, time - latest), 0);
    const isAhead = by > 0;
    if (isAhead) this.counted.ahead++;
    if (isAhead && !this.wasAhead) {
      const beyond = Math.ceil(by / 1000);
      this.o.warn(
        `agent of export ${this.o.name}: its clock is ahead of ours by ${beyond} ms more than its error; until it is not, no page is taken for dead`,
      );
    }
    this.wasAhead = isAhead;
    return isAhead;
  }

  private send(part: Partial<ReportBatch>): Promise<BatchResult> {
    return this.o.send({ ...NOTHING, x: this.o.x, ...part });
  }

  /** Answers for how many it was false. */
  private async each<T>(all: readonly T[], deal: (one: T) => boolean): Promise<number> {
    let failed = 0;
    let begin = this.cgroups.work;
    for (const one of all) {
      if (this.cgroups.work - begin >= WORK_PER_TURN) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        begin = this.cgroups.work;
      }
      if (!deal(one)) failed++;
    }
    return failed;
  }
}

function now(): string {
  return String(Math.floor(nowMicros()));
}
