// When a run's server is restarted, and what each time came to.

import type { Log } from './log.ts';
import { megabytes, type Report } from './report.ts';
import type { Server } from './server.ts';

/** Swap traffic after a restart before the next one: by then the guest lives on what it brought back. */
const BETWEEN_BYTES = 4e6;

export class RestartPlan {
  /** What went wrong, if anything did. */
  readonly problems: string[] = [];
  private readonly times: number;
  private readonly server: Server;
  private readonly log: Log;
  private readonly report: Report;
  /** Until this much was swapped the server is left alone; Infinity while it is being restarted. */
  private next = 0;
  /** Of each: milliseconds without a server, and until the guest's traffic was seen to go on. */
  private readonly outages: { ms: number; stillMs: number | null }[] = [];
  private readonly versions = new Set<string>();
  private begun = 0;
  private last = Promise.resolve();

  constructor(o: { times: number; server: Server; log: Log; report: Report }) {
    this.times = o.times;
    this.server = o.server;
    this.log = o.log;
    this.report = o.report;
  }

  /** The guest has said something. `full`: its memory is out, so what comes is load. */
  progress(full: boolean): void {
    const { swappedOut, swappedIn } = this.report;
    const traffic = swappedOut + swappedIn;
    const outage = this.outages.at(-1);
    if (outage?.stillMs === null && traffic > this.next - BETWEEN_BYTES) {
      outage.stillMs = performance.now() - this.begun;
    }
    if (!full || traffic < this.next || this.outages.length >= this.times || this.problems.length > 0) return;
    this.next = Number.POSITIVE_INFINITY;
    this.begun = performance.now();
    this.last = this.once();
  }

  /** What all came to, once the guest has ended. */
  async finish(): Promise<string> {
    await this.last;
    const done = this.outages.length;
    if (done < this.times && this.problems.length === 0) {
      this.problems.push(`the guest was done after ${done} of ${this.times} restarts`);
    }
    const ms = this.outages.map((one) => one.ms).sort((a, b) => a - b);
    const still = this.outages.flatMap(({ stillMs }) => (stillMs === null ? [] : [stillMs])).sort((a, b) => a - b);
    const spread = (all: number[]): string =>
      all.length === 0 ? '-' : `${seconds(all[0])}/${seconds(all[all.length >> 1])}/${seconds(all[all.length - 1])} s`;
    return `${done} restarts, versions ${[...this.versions].join(' ')}: no server for ${spread(ms)} (least/median/most), the guest swapped on after ${spread(still)}`;
  }

  private async once(): Promise<void> {
    try {
      const { ms, version } = await this.server.restart!();
      this.outages.push({ ms, stillMs: null });
      this.versions.add(version);
      const { swappedOut, swappedIn } = this.report;
      this.log(
        `restart ${this.outages.length} of ${this.times}: version ${version} serves after ${seconds(ms)} s, at ${megabytes(swappedOut)} MB out, ${megabytes(swappedIn)} MB in`,
      );
      this.next = swappedOut + swappedIn + BETWEEN_BYTES;
    } catch (error) {
      this.problems.push(`restart ${this.outages.length + 1}: ${(error as Error).message}`);
    }
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
