/**
 * A server that is strict comes back after a kill. Its marker vouches for what was flushed until it knows of a loss (a page whose
 * bytes are gone, a sync that failed), and from then on for nothing: so the next start serves what was flushed, or is refused
 * (exit 3), and both can be wrong. After a refusal the image is discarded, and the device is driven on as an empty one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT, ExitError } from '../os/exit_error.ts';
import type { FaultWatch } from './fault_watch.ts';
import type { Load } from './load.ts';
import type { OwnServer } from './own_server.ts';
import type { Sampler } from './sampler.ts';

/** Counters of a server that say that its marker may vouch for nothing. */
const LOSSES = ['lost_pages', 'image_sync_errors'] as const;
/** So long it is driven before it is killed. */
const BEFORE_KILL_MS = 1500;
const SETTLE_MS = 200;

interface Around {
  readonly load: Load;
  readonly sampler: Sampler;
  readonly watch: FaultWatch | null;
}

export class Revival {
  readonly #server: OwnServer;
  /** Starts that served what the server before had left, and those that were refused. */
  served = 0;
  refused = 0;
  /** Starts that were served and should not have been, or the other way round. */
  readonly wrong: string[] = [];

  constructor(server: OwnServer) {
    this.#server = server;
  }

  /** Drives it, kills it, and starts it again. Answers whether it serves what it had flushed. */
  async kill(around: Around): Promise<boolean> {
    const { load, sampler } = around;
    load.start();
    await delay(BEFORE_KILL_MS);
    await load.stop();
    await sampler.take();
    const losses = lossesOf(sampler);
    // The answer of a FLUSH waits until the marker says what is known.
    if (losses !== '') await load.flush();
    load.expectLoss();
    sampler.carry();
    await this.#server.stop('SIGKILL');
    return await this.#start(around, losses);
  }

  /** It has ended by itself, and is started again. */
  async comeBack(around: Around): Promise<void> {
    const losses = lossesOf(around.sampler);
    around.sampler.carry();
    // Requests that were under way settle first, and are unsure.
    await delay(SETTLE_MS);
    await this.#start(around, losses);
  }

  /** `losses`: what the one that is gone knew. Answers whether what that one had left is served. */
  async #start({ load, watch }: Around, losses: string): Promise<boolean> {
    try {
      await this.#server.start();
    } catch (error) {
      if (!(error instanceof ExitError) || error.exitCode !== EXIT.staleImage) throw error;
      this.refused++;
      if (losses === '' && !mayHaveLost(watch)) this.wrong.push(`refused, although nothing was lost: ${error.message}`);
      await this.#server.start({ discard: true });
      load.emptied();
      return false;
    }
    this.served++;
    if (losses !== '') this.wrong.push(`served, although the server before had lost something: ${losses}`);
    load.crashed();
    return true;
  }
}

/** What the server that was asked last knew to have lost; empty where nothing was. */
function lossesOf(sampler: Sampler): string {
  const known = LOSSES.filter((name) => sampler.said(name) > 0);
  return known.map((name) => `${name} ${sampler.said(name)}`).join(', ');
}

/** A server that a fault has ended may have met a loss after it was last asked. */
function mayHaveLost(watch: FaultWatch | null): boolean {
  const rows = watch?.rows ?? [];
  return rows.some((row) => row.class !== 'must-tolerate' && row.injected > 0 && /^(?:pool|image)\./.test(row.site));
}
