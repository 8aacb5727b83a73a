// Takes batches to the server: in order, each until it is answered; over a new connection after a backoff where one breaks.
//
// A session is one story. It goes on as long as the server expects our next batch; else it is told anew, from a resync on.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from './clock.ts';
import type { Answer, Link } from './link.ts';
import type { Batch, Outbox } from './outbox.ts';
import { Problem, textOf } from './problem.ts';
import { encodeBatch, type Records } from './wire.ts';

const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 5000;
/** How long records wait for company. */
const GATHER_MS = 50;
/** So often the server is asked where there is nothing to send. */
const IDLE_MS = 3000;

interface SenderParts {
  readonly link: Link;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly say: (line: string) => void;
  /** The server tells its export's size, on each connection. */
  readonly onLimits: (slots: number) => void;
  /** All has to be told anew. */
  readonly onBroken: () => void;
}

export class Sender {
  isUp = false;
  /** It has not been reached yet, or not at the last tries: of the next time that it is, somebody wants to know. */
  private isAway = true;
  batches = 0;
  bytes = 0;
  private session = newSession();
  private sequence = 0;
  /** What was sent, or is to be, and is not answered. */
  private pending: { readonly batch: Batch; readonly bytes: Buffer } | undefined;
  private readonly parts: SenderParts;

  constructor(parts: SenderParts) {
    this.parts = parts;
  }

  /** Until the signal; throws a Problem where no other try can help. */
  async run(signal: AbortSignal): Promise<void> {
    let wait = BACKOFF_MS;
    while (!signal.aborted) {
      try {
        await this.connect();
        wait = BACKOFF_MS;
        await this.serve(signal);
      } catch (error) {
        if (error instanceof Problem) throw error;
        // A connection that was kept ends now and then, and the next one does.
        const isFirst = this.isUp;
        this.isUp = false;
        if (isFirst) continue;
        this.isAway = true;
        if (wait === BACKOFF_MS) this.parts.say(`no server: ${textOf(error)}; trying again`);
        await pause(wait, signal);
        wait = Math.min(2 * wait, BACKOFF_MAX_MS);
      }
    }
  }

  /** What waits is sent, once and no more: for the end of the agent. */
  async flush(): Promise<void> {
    if (!this.isUp) return;
    let isMore = true;
    while (isMore) isMore = await this.sendNext();
  }

  private async connect(): Promise<void> {
    const { clock, outbox } = this.parts;
    const first = accepted(await this.parts.link.ask());
    const { slots, limits, version } = first.body as {
      slots: number;
      version: number;
      limits?: { batchSlots?: number };
    };
    if (version !== 1) throw new Problem(`the server speaks version ${version} of the protocol, allowed: 1`);
    // Before a batch is answered nothing tells whether this is the server of before, and its clock.
    if (this.sequence === 0) clock.forget();
    this.resume(first.body.session, Number(first.body.expects));
    this.parts.onLimits(Number(slots));
    outbox.limit(Number(limits?.batchSlots ?? 1 << 20));
    this.compare(clock, first);
    this.isUp = true;
    if (!this.isAway) return;
    this.isAway = false;
    this.parts.say(`the server is there, and answered within ${Math.ceil(first.answered - first.asked)} µs`);
  }

  private compare(clock: Clock, { asked, answered, body }: Answer): void {
    const server = Number(body.now);
    if (Number.isFinite(server) && body.now !== undefined) clock.exchanged(asked, answered, server);
  }

  /** The batch is not sent yet: if the server can't be asked, it has not been said, and the next connection begins with it. */
  private async compareFor(batch: Batch): Promise<void> {
    const { clock, outbox, link } = this.parts;
    try {
      this.compare(clock, accepted(await link.ask()));
    } catch (error) {
      outbox.putBack(batch);
      throw error;
    }
  }

  /** Where the server is with us tells whether we go on, begin, or have been replaced. */
  private resume(session: unknown, expects: number): void {
    if (session === hex(this.session)) {
      // What is pending may have arrived; then it is answered once more.
      if (expects === this.sequence || expects === this.sequence + 1) return;
      this.sequence = expects;
      this.drop();
      return;
    }
    // A session begins with 0, whatever there was before.
    if (this.sequence === 0) return;
    if (session !== null && session !== undefined)
      throw new Problem(`another agent (session ${session}) has taken over`);
    this.restart();
  }

  /** The server knows nothing of us: it was started again. */
  private restart(): void {
    this.session = newSession();
    this.sequence = 0;
    this.parts.clock.forget();
    this.drop();
  }

  private drop(): void {
    this.parts.outbox.forgetNames();
    if (this.pending !== undefined) this.parts.outbox.giveUp(this.pending.batch);
    this.pending = undefined;
    this.parts.onBroken();
  }

  private async serve(signal: AbortSignal): Promise<void> {
    let idleMs = 0;
    while (!signal.aborted) {
      if (await this.sendNext()) {
        idleMs = 0;
        continue;
      }
      await pause(GATHER_MS, signal);
      idleMs += GATHER_MS;
      if (idleMs < IDLE_MS) continue;
      idleMs = 0;
      const answer = accepted(await this.parts.link.ask());
      this.compare(this.parts.clock, answer);
      this.resume(answer.body.session, Number(answer.body.expects));
    }
  }

  /** Returns whether there was something to send. */
  private async sendNext(): Promise<boolean> {
    const { outbox, clock, link } = this.parts;
    if (this.pending === undefined) {
      const batch = outbox.take();
      if (batch === undefined) return false;
      // Of a free that came after the last exchange nobody knows whether it came before what is written behind it.
      if (clock.comparedAt <= latest(batch.records)) await this.compareFor(batch);
      const { session, sequence } = this;
      const { offset, error } = clock.bound(batch.records);
      const header = { flags: batch.flags, session, sequence, clockOffset: offset, error, lost: batch.lost };
      this.pending = { batch, bytes: encodeBatch(header, batch.names, batch.records) };
    }
    const answer = await link.ask(this.pending.bytes);
    if (answer.status === 409) {
      this.resume(answer.body.session, Number(answer.body.expects));
      return true;
    }
    accepted(answer);
    this.batches++;
    this.bytes += this.pending.bytes.length;
    if (Number(answer.body.unnamed) > 0) outbox.refused(this.pending.batch);
    this.pending = undefined;
    this.sequence++;
    this.compare(clock, answer);
    return true;
  }
}

/** Of records in the order of their times, which that of pagemap's slices is as well. */
function latest({ time, count }: Records): number {
  return count === 0 ? Number.NEGATIVE_INFINITY : time[count - 1];
}

/** The answer, if it is one; a Problem where the server will not have us, and an error where it may later. */
function accepted(answer: Answer): Answer {
  const { status, body } = answer;
  if (status === 200) return answer;
  const said = `the server answers ${status}${typeof body.error === 'string' ? `: ${body.error}` : ''}`;
  if (status === 401) throw new Problem(`${said}: the token is not this export's`);
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) throw new Problem(said);
  throw new Error(said);
}

function newSession(): bigint {
  return randomBytes(8).readBigUInt64LE() | 1n;
}

function hex(session: bigint): string {
  return session.toString(16).padStart(16, '0');
}

/** Ends early, and without an error, at the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
}
