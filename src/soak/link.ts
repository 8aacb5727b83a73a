/**
 * A connection of the soak that comes again when it is lost, as the kernel's client does, and that gives a request up after a
 * time-out by ending the whole connection: nothing that is not answered may stay under way, or nobody knew what the slot holds.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { NbdClient, NbdError } from 'node-nbd-server';
import { errorText } from '../os/exit_error.ts';
import type { Ledger } from './ledger.ts';
import type { Random } from './random.ts';
import type { Target } from './uri.ts';

/** Between two tries to connect, growing to the second. */
const AGAIN_MS = [50, 1000] as const;
/** Between two looks for requests that are overdue. */
const WATCH_MS = 100;
const IN_FLIGHT = 256;

export type Outcome =
  | { readonly end: 'ok'; readonly data: Buffer }
  | { readonly end: 'failed' | 'unanswered'; readonly code: string };

/** Errors that the client makes itself: the request has no answer. */
const OWN_CODES: ReadonlySet<string> = new Set(['ENOTCONN', 'EPROTO', 'ETIMEDOUT']);

/** Runs a request and says how it ended. What is no error of NBD is a fault of the soak, and is thrown. */
export async function outcomeOf(request: Promise<Buffer | undefined>): Promise<Outcome> {
  try {
    return { end: 'ok', data: (await request) ?? Buffer.alloc(0) };
  } catch (error) {
    if (!(error instanceof NbdError)) throw error;
    return { end: OWN_CODES.has(error.code) ? 'unanswered' : 'failed', code: error.code };
  }
}

class Link {
  readonly index: number;
  client: NbdClient | null = null;
  readonly #links: Links;
  readonly #began = new Map<number, number>();
  #next = 0;
  #reason: string | null = null;

  constructor(links: Links, index: number) {
    this.#links = links;
    this.index = index;
  }

  async request(run: (client: NbdClient) => Promise<Buffer | undefined>): Promise<Outcome> {
    const { client } = this;
    if (client === null) return { end: 'unanswered', code: 'ENOTCONN' };
    const id = this.#next++;
    this.#began.set(id, performance.now());
    const outcome = await outcomeOf(run(client));
    this.#began.delete(id);
    if (outcome.end === 'unanswered') this.#reason ??= outcome.code;
    return outcome;
  }

  /** Connects, and again whenever the connection is lost, until the links are closed. */
  async keep(): Promise<void> {
    for (let wait: number = AGAIN_MS[0]; !this.#links.closed; ) {
      try {
        this.client = await this.#links.connect(IN_FLIGHT);
      } catch (error) {
        if (this.#links.closed) return;
        this.#links.refused(this.index, errorText(error), wait === AGAIN_MS[0]);
        await delay(wait);
        wait = Math.min(AGAIN_MS[1], wait * 2);
        continue;
      }
      const { client } = this;
      // Whoever has closed the links meanwhile has not seen this one.
      if (this.#links.closed) {
        await client.disconnect();
        return;
      }
      wait = AGAIN_MS[0];
      this.#reason = null;
      this.#links.arrived();
      await client.closed;
      this.client = null;
      // Requests that were under way settle in this turn, and one of them says why.
      await delay(0);
      if (!this.#links.closed) this.#links.lost(this.index, this.#reason ?? 'ENOTCONN');
      this.#began.clear();
    }
  }

  /** Ends a connection with a request that is overdue. */
  watch(now: number, timeoutMs: number): void {
    const [oldest] = this.#began.values();
    if (oldest === undefined || now - oldest < timeoutMs || this.client === null) return;
    this.#reason = 'ETIMEDOUT';
    this.client.destroy();
  }
}

export type { Link };

export class Links {
  closed = false;
  readonly #target: Target;
  readonly #timeoutMs: number;
  readonly #ledger: Ledger;
  readonly #links: Link[];
  readonly #timer: NodeJS.Timeout;
  readonly #kept: Promise<unknown>;
  #woken: (() => void)[] = [];
  #patient = true;
  /** Set while the server is being restarted on purpose: what is lost then is no trouble. */
  expectLoss = false;

  constructor(target: Target, count: number, timeoutMs: number, ledger: Ledger) {
    this.#target = target;
    this.#timeoutMs = timeoutMs;
    this.#ledger = ledger;
    this.#links = Array.from({ length: count }, (_, index) => new Link(this, index));
    this.#timer = setInterval(() => {
      for (const link of this.#links) link.watch(performance.now(), timeoutMs);
    }, WATCH_MS);
    this.#kept = Promise.all(this.#links.map((link) => link.keep()));
  }

  connect(maxInFlight: number): Promise<NbdClient> {
    const { address, name } = this.#target;
    const wanted = { export: name, maxInFlight, baseAllocation: true, timeoutMs: this.#timeoutMs };
    return NbdClient.connect({ ...address, ...wanted, closeTimeoutMs: this.#timeoutMs });
  }

  /** Whether `pick` waits for a connection where there is none. */
  set patient(patient: boolean) {
    this.#patient = patient;
    this.#wake();
  }

  /** One that is connected, and not `not` if there is another; waits for it. Null when nobody is to wait any more. */
  async pick(random: Random, not?: Link): Promise<Link | null> {
    while (!this.closed) {
      const live = this.#links.filter(({ client }) => client !== null);
      const others = live.filter((link) => link !== not);
      const from = others.length > 0 ? others : live;
      if (from.length > 0) return from[random.below(from.length)];
      if (!this.#patient) return null;
      await new Promise<void>((resolve) => this.#woken.push(resolve));
    }
    return null;
  }

  arrived(): void {
    if (this.#ledger.connections++ >= this.#links.length) this.#ledger.reconnects++;
    this.#wake();
  }

  lost(link: number, code: string): void {
    if (this.expectLoss) return;
    const endedMs = performance.now();
    const text =
      code === 'ETIMEDOUT' ? `no answer within ${this.#timeoutMs / 1000} s` : `the connection ended (${code})`;
    const beganMs = code === 'ETIMEDOUT' ? endedMs - this.#timeoutMs : endedMs;
    this.#ledger.trouble({
      is: 'connection',
      kind: null,
      code,
      text,
      link,
      slot: -1,
      count: 0,
      beganMs,
      endedMs,
      sinceMs: 0,
    });
  }

  /** `first` of an outage: the others would say the same. */
  refused(link: number, why: string, first: boolean): void {
    if (this.expectLoss || !first) return;
    const now = performance.now();
    const where = { slot: -1, count: 0, beganMs: now, endedMs: now, sinceMs: 0 };
    this.#ledger.trouble({ is: 'connect', kind: null, code: 'CONNECT', text: why, link, ...where });
  }

  /** Says goodbye on each, and waits until they are closed. */
  async close(): Promise<void> {
    this.closed = true;
    this.#wake();
    await Promise.all(this.#links.map(({ client }) => client?.disconnect()));
    clearInterval(this.#timer);
    // Whoever waits to connect again sees that it is over within the second.
    await this.#kept;
  }

  #wake(): void {
    const woken = this.#woken;
    this.#woken = [];
    for (const wake of woken) wake();
  }
}
