/**
 * Load on a real server for tests of broken protocols: a few hot slots are overwritten, read and trimmed from many requests
 * at once, while pages that do not compress keep the shrinker at work. Every answer is checked against a model.
 * Invariant: what reads without an error is what was acknowledged last; anything else is counted as silent.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type NbdClient, NbdError } from 'node-nbd-server';
import { makePage } from './pool.ts';
import type { Random } from './random.ts';

const PAGE = 4096;
const WORKERS = 12;
/** Between two looks at a condition that nobody announces. */
const LOOK_MS = 5;

export interface TrafficOptions {
  readonly random: Random;
  /** Slots 1 to `hot` are used; the pages that do not compress go behind them. */
  readonly hot: number;
  /** In per cent of the requests; the rest are writes. */
  readonly reads: number;
  readonly trims: number;
}

export class Traffic {
  /** Reads that were answered with an error, and reads that were wrong without one. */
  refused = 0;
  silent = 0;
  /** Requests that the server gave up, because it ended. */
  lost = 0;
  private stopped = false;
  private version = 0;
  private readonly client: NbdClient;
  private readonly o: TrafficOptions;
  /** Version that each slot holds: 0 for a hole, null while a request on it is under way. */
  private readonly held: (number | null)[];

  constructor(client: NbdClient, o: TrafficOptions) {
    this.client = client;
    this.o = o;
    this.held = Array.from({ length: o.hot + 1 }, () => 0);
  }

  /** Runs until `enough`, or until the connection is gone, or for `seconds`. */
  async run(seconds: number, enough: () => boolean | Promise<boolean>): Promise<void> {
    this.stopped = false;
    const watch = async (): Promise<void> => {
      const deadline = performance.now() + seconds * 1000;
      while (!this.stopped && performance.now() < deadline && !(await enough())) await pause(LOOK_MS);
      this.stopped = true;
    };
    const workers = Array.from({ length: WORKERS }, () => this.guard(() => this.request()));
    await Promise.all([watch(), this.guard(() => this.incompressible()), ...workers]);
  }

  /** A request that fails because the server has ended stops the traffic; it is for the test to say whether it should. */
  private async guard(work: () => Promise<unknown>): Promise<void> {
    while (!this.stopped) {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof NbdError) || error.code !== 'ENOTCONN') throw error;
        this.lost++;
        this.stopped = true;
      }
    }
  }

  /** The pool has no room for these, and each asks the shrinker to make some. */
  private incompressible(): Promise<void> {
    const slot = this.o.hot + 1 + (this.version++ % 64);
    return this.client.write(slot * PAGE, Buffer.from(makePage('random', this.version)));
  }

  private async request(): Promise<void> {
    const { random, hot, reads, trims } = this.o;
    const slot = 1 + random.below(hot);
    const version = this.held[slot];
    if (version === null) {
      await pause(0);
      return;
    }
    this.held[slot] = null;
    const dice = random.below(100);
    if (dice < reads) this.held[slot] = await this.read(slot, version);
    else if (dice < reads + trims) {
      await this.client.trim(slot * PAGE, PAGE);
      this.held[slot] = 0;
    } else {
      const next = ++this.version;
      await this.client.write(slot * PAGE, Buffer.from(makePage('text', next)));
      this.held[slot] = next;
    }
  }

  private async read(slot: number, version: number): Promise<number> {
    const wanted = version === 0 ? Buffer.alloc(PAGE) : Buffer.from(makePage('text', version));
    try {
      const found = await this.client.read(slot * PAGE, PAGE);
      if (!found.equals(wanted)) this.silent++;
    } catch (error) {
      if (!(error instanceof NbdError) || error.code !== 'EIO') throw error;
      this.refused++;
    }
    return version;
  }
}
