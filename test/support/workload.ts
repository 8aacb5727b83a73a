/**
 * A random workload on a device, whose history is kept: whole pages and parts of pages, long requests, trims, zeros, FUA and
 * FLUSH, from several connections at once, until somebody ends the server.
 */
import { type NbdClient, NbdError } from 'node-nbd-server';
import { pageOf, type Random, type Texture } from './random.ts';
import type { DeviceHistory } from './slot_history.ts';

const PAGE = 4096;
/** Pages of the longest request. */
const PAGES_MAX = 8;

export interface WorkloadOptions {
  readonly random: Random;
  readonly history: DeviceHistory;
  /** After so many operations `onLimit` is called; what is under way goes on. */
  readonly limit: number;
  readonly onLimit: () => void;
  /** False for an export that has neither FLUSH nor FUA. */
  readonly flushes?: boolean;
}

export class Workload {
  readonly #o: WorkloadOptions;
  operations = 0;
  flushes = 0;
  #over = false;

  constructor(o: WorkloadOptions) {
    this.#o = o;
  }

  /** So many requests at a time to each of them, until the connection is gone or `finish` was called. */
  async run(clients: readonly NbdClient[], depth: number): Promise<void> {
    await Promise.all(clients.flatMap((client) => Array.from({ length: depth }, () => this.#work(client))));
  }

  /** No operation begins from here on. */
  finish(): void {
    this.#over = true;
  }

  async #work(client: NbdClient): Promise<void> {
    const { random, limit, onLimit, history, flushes = true } = this.#o;
    try {
      while (!this.#over) {
        if (++this.operations === limit) onLimit();
        if (flushes && random.below(100) < 3) {
          await history.flush(() => client.flush());
          this.flushes++;
        } else await this.#change(client);
      }
    } catch (error) {
      // The kill. Any other error is a failure of ours.
      if (!(error instanceof NbdError) || error.code !== 'ENOTCONN') throw error;
    }
  }

  async #change(client: NbdClient): Promise<void> {
    const { random, history, flushes = true } = this.#o;
    const first = random.below(history.slots.length - PAGES_MAX);
    const count = 1 + random.below(PAGES_MAX);
    const touched = history.slots.slice(first, first + count);
    if (touched.some((slot) => slot.busy)) {
      // Others have to get their answers meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    const fua = flushes && random.chance(0.05);
    const kind = random.below(10);
    const texture: Texture = (['text', 'noise', 'filled'] as const)[random.below(3)];
    const at = first * PAGE;
    const fresh = Buffer.concat(touched.map((_, i) => pageOf(first + i, this.operations, texture)));
    // Of a part: where it begins and ends in what is touched.
    const isPart = kind === 2 || kind === 3;
    const from = isPart ? random.below(PAGE) : 0;
    const end = isPart ? from + 1 + random.below(count * PAGE - from) : count * PAGE;
    const isZero = kind < 3;
    const data = isZero ? Buffer.alloc(end - from) : fresh.subarray(from, end);
    const whole = Buffer.concat(touched.map((slot) => slot.newest));
    data.copy(whole, from);
    const last = Math.ceil(end / PAGE);
    const pages = Array.from({ length: last }, (_, i) => whole.subarray(i * PAGE, (i + 1) * PAGE));
    await history.change(first, pages, fua, () => {
      if (kind === 0) return client.trim(at, count * PAGE, { fua });
      if (isZero) return client.writeZeroes(at + from, end - from, { fua });
      return client.write(at + from, data, { fua });
    });
  }
}
