// The agent: opens what the kernel offers, and lets the source and the sender run until it is told to end.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Btf } from './btf.ts';
import { Cgroups, findCgroupRoot } from './cgroups.ts';
import { Clock, now } from './clock.ts';
import { type KernelLayout, readLayout } from './kernel_layout.ts';
import { Link } from './link.ts';
import type { AgentOptions } from './options.ts';
import { Outbox } from './outbox.ts';
import { chargeProbe, deviceProbe, freeProbe } from './probes.ts';
import { codeOf, Problem, textOf } from './problem.ts';
import { Sender } from './sender.ts';
import { Source } from './source.ts';
import { SwapDevice } from './swap_device.ts';
import { type TakeDevice, TraceReader } from './trace_reader.ts';
import { Tracefs } from './tracefs.ts';

const BTF = '/sys/kernel/btf/vmlinux';
/** How often the trace buffers are looked at while there are events, and while there are none. */
const POLL_MS = 50;
const IDLE_MS = 250;
/** Between two resyncs that lost events ask for. */
const RESYNC_EVERY_US = 10e6;
/** So long a question that is under way may still take when the agent is told to end. */
const LAST_ANSWER_MS = 2000;
/** Share of the outbox beyond which a scan waits for the server. */
const FULL = 0.5;

type Say = (line: string) => void;

interface Probed {
  readonly tracefs: Tracefs;
  readonly reader: TraceReader;
}

/** Throws a Problem where the probes don't fit. */
export function openProbes(bufferKib: number, onDevice: TakeDevice): Probed {
  const btf = new Btf(readBtf());
  const layout = readLayout(btf);
  const devices = deviceProbe(btf);
  // A free of another device, taken for one of ours, may cost somebody his page.
  if (devices === undefined) throw new Problem('this kernel does not tell which device has which swap type');
  const tracefs = Tracefs.open(bufferKib);
  let reader: TraceReader | undefined;
  try {
    reader = new TraceReader(tracefs);
    addProbes(tracefs, reader, layout);
    reader.decodeDevices(tracefs.add(devices), onDevice);
    return { tracefs, reader };
  } catch (error) {
    reader?.close();
    tracefs.close();
    throw error;
  }
}

function addProbes(tracefs: Tracefs, reader: TraceReader, layout: KernelLayout): void {
  // Cgroups first: what is charged to one that is made from here on has been heard of.
  reader.decodeCgroups(tracefs.enable('cgroup', 'cgroup_mkdir'), tracefs.enable('cgroup', 'cgroup_rmdir'));
  reader.decodeFrees(tracefs.add(freeProbe()));
  reader.decodeCharges(tracefs.add(chargeProbe(layout)), layout.size, layout.headBit);
}

function readBtf(): Buffer {
  try {
    return readFileSync(BTF);
  } catch (error) {
    throw new Problem(`${BTF}: ${codeOf(error) === 'ENOENT' ? 'this kernel has no BTF' : textOf(error)}`);
  }
}

export class AgentRun {
  private readonly options: AgentOptions;
  private readonly say: Say;
  private readonly probed: Probed | undefined;
  private readonly source: Source;
  private readonly sender: Sender;
  private readonly outbox: Outbox;
  private readonly link: Link;
  private readonly device: SwapDevice;
  private saidOfDevice = '';

  constructor(options: AgentOptions, say: Say) {
    this.options = options;
    this.say = say;
    const token = readFileSync(options.tokenFile, 'utf8').trim();
    const cgroups = new Cgroups(findCgroupRoot());
    this.probed = this.open();
    this.device = new SwapDevice(options.device, this.probed !== undefined);
    this.outbox = new Outbox((id) => cgroups.pathOf(id));
    const { device, outbox } = this;
    this.source = new Source({ device, cgroups, outbox, reader: this.probed?.reader, now });
    this.link = new Link(options.server, options.exportName, token);
    this.sender = new Sender({
      link: this.link,
      clock: new Clock(),
      outbox,
      say,
      onLimits: (slots) => {
        this.source.slots = slots;
      },
      onBroken: () => this.source.breakOff(),
    });
  }

  private open(): Probed | undefined {
    if (this.options.mode === 'pagemap') return undefined;
    try {
      return openProbes(this.options.bufferKib, (...seen) => this.device.saw(...seen));
    } catch (error) {
      if (this.options.mode === 'probes' || !(error instanceof Problem)) throw error;
      this.say(`${error.message}: going by pagemap alone, every ${this.options.intervalMs / 1000} s`);
      return undefined;
    }
  }

  /** Until the signal; leaves nothing behind in the kernel. */
  async run(signal: AbortSignal): Promise<void> {
    const own = new AbortController();
    const stop = AbortSignal.any([signal, own.signal]);
    const hurry = (): void => void setTimeout(() => this.link.close(), LAST_ANSWER_MS).unref();
    stop.addEventListener('abort', hurry);
    this.say(`runs with ${this.probed === undefined ? 'pagemap' : 'probes'}`);
    try {
      // The one that ends ends the other, and both have ended before what they use is closed.
      const tasks = [this.follow(stop), this.sender.run(stop)].map((task) => task.finally(() => own.abort()));
      const failed = (await Promise.allSettled(tasks)).find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      // What happened until now is said, if the server takes it.
      this.source.poll();
      hurry();
      await this.sender.flush().catch((error: Error) => this.say(`the last events are not said: ${error.message}`));
    } finally {
      this.link.close();
      this.probed?.reader.close();
      const left = this.probed?.tracefs.close();
      if (left !== undefined) this.say(left);
      this.say(this.status());
    }
  }

  private async follow(signal: AbortSignal): Promise<void> {
    let resyncAt = Number.NEGATIVE_INFINITY;
    let statusAt = now();
    const isByPagemap = this.probed === undefined;
    const resyncEvery = isByPagemap ? this.options.intervalMs * 1000 : RESYNC_EVERY_US;
    while (!signal.aborted) {
      const isMore = this.source.poll();
      this.sayDevice();
      if (this.outbox.isBroken) this.source.needsResync = true;
      const wanted = this.source.needsResync || isByPagemap;
      // The first one needs no server: what is heard meanwhile is not said yet.
      const isFirst = resyncAt === Number.NEGATIVE_INFINITY;
      if (wanted && (this.sender.isUp || isFirst) && now() - resyncAt > resyncEvery) {
        await this.source.resync(() => signal.aborted || this.outbox.fill < FULL || this.outbox.isBroken);
        resyncAt = now();
      }
      if (this.options.statusMs > 0 && now() - statusAt > this.options.statusMs * 1000) {
        statusAt = now();
        this.say(this.status());
      }
      await sleep(isMore ? 0 : this.source.events > 0 ? POLL_MS : IDLE_MS);
    }
  }

  /** What an operator may have got wrong: the device is not swapped on, or is not the export. */
  private sayDevice(): void {
    const { path, swapType, slots } = this.device;
    const size = this.source.slots;
    const about =
      Number.isFinite(size) && slots > size ? `, has ${slots} slots, and the export has ${size}: another one?` : '';
    const line = swapType === undefined ? `${path} is not swapped on` : `${path} is swap type ${swapType}${about}`;
    if (line !== this.saidOfDevice) this.say(line);
    this.saidOfDevice = line;
  }

  /** The counters in one line. */
  status(): string {
    const { counts, scanned } = this.source;
    const { user, system } = process.cpuUsage();
    const events = counts.charges + counts.frees;
    const { records } = this.outbox;
    const { batches, bytes } = this.sender;
    const all = {
      ...counts,
      strange: this.probed?.reader.strange ?? 0,
      records,
      batches,
      bytes,
      scanned_pages: scanned.pages,
      skipped_pages: scanned.skipped,
      cpu_ms: Math.round((user + system) / 1000),
      us_per_event: events === 0 ? 0 : Number(((user + system) / events).toFixed(2)),
      bytes_per_event: events === 0 ? 0 : Number((bytes / events).toFixed(1)),
      rss_mib: Math.round(process.memoryUsage.rss() / 2 ** 20),
    };
    return Object.entries(all)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ');
  }
}
