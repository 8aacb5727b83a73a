/** What runs in a soak: server, driver, sampler and plan, through the two phases and the reading back. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { Control } from './control.ts';
import { Driver } from './driver.ts';
import { leaksOf, readAll, type Unreadable } from './end_checks.ts';
import { FaultWatch } from './fault_watch.ts';
import { Guests } from './guests.ts';
import type { Load } from './load.ts';
import type { SoakOptions, Surroundings } from './options.ts';
import { type Ending, EXPORT, OwnServer } from './own_server.ts';
import { pause } from './pause.ts';
import { endsProcess, type Plan, planAfterKill, planOf } from './plan.ts';
import { firstOf, reached, serverOf } from './preparation.ts';
import { PHASES, progressLine } from './progress.ts';
import { Revival } from './revival.ts';
import { SAMPLE_MS, Sampler } from './sampler.ts';
import type { Series } from './series.ts';
import { parseTarget } from './uri.ts';
import type { Leaks } from './verdict.ts';

/** A request that takes longer is given up, with its connection. */
const TIMEOUT_MS = 10_000;
const PROGRESS_MS = 5000;
/** A strict server is killed so often in the end, until it serves what it has flushed. */
const KILLS = 2;
/** A process takes its time to end, and clients take theirs to come again. */
const OUTAGE_MS = 5000;
/** The healed phase: a share of the time, within bounds. */
const HEAL = { share: 0.2, least: 500, most: 60_000 };

export class Session {
  readonly options: SoakOptions;
  readonly folder: string;
  readonly series: Series;
  readonly server: OwnServer | null;
  control: Control | null = null;
  load!: Load;
  sampler!: Sampler;
  watch: FaultWatch | null = null;
  plan: Plan | null = null;
  readonly settings: readonly string[];
  readonly strict: boolean;

  /** What came of it. */
  interrupted = false;
  failure: unknown = null;
  hang: string | null = null;
  serverEnding: Ending | null = null;
  stopEnding: Ending | null = null;
  readonly outages: { readonly id: string; readonly fromMs: number; toMs: number }[] = [];
  /** Of a server that is ours: how it came back when it was killed. */
  readonly revival: Revival | null;
  /** Whether it was killed in the end, and what it keeps was read. */
  killed = false;
  clearedMs = 0;
  /** When the healed phase was half over. */
  troublesHealed = 0;
  readonly unreadable: Unreadable[] = [];
  readonly notMended: number[] = [];
  /** Whether a FLUSH succeeds after that. */
  flushes = false;
  readBackSlots: number | null = null;
  leaks: Leaks = { leaked: null, value: 'unknown', text: 'it did not come to that' };
  imageVerified: number | null = null;

  readonly #around: Surroundings;
  #restarting: Promise<void> | null = null;
  #progressMs = 0;

  constructor(o: SoakOptions, around: Surroundings, folder: string, series: Series) {
    this.options = o;
    this.#around = around;
    this.folder = folder;
    this.series = series;
    const { bytes, settings, strict } = serverOf(o);
    this.settings = settings;
    this.strict = strict;
    const log = join(folder, 'server.log');
    this.server = o.uri === undefined ? new OwnServer({ bytes, set: this.settings, log }) : null;
    this.revival = this.server === null ? null : new Revival(this.server);
  }

  /** Until it can run. What is wrong with what was asked for is found here. */
  async begin(): Promise<void> {
    const { options: o, server } = this;
    const target = parseTarget(server?.uri ?? o.uri!);
    await server?.start();
    const socket = server?.controlPath ?? o.control;
    this.control = socket === undefined ? null : new Control(this.#around.ask(socket));
    const { seed } = o;
    const driven = {
      target,
      seed,
      strict: this.strict,
      used: server === null,
      ours: this.control !== null,
      timeoutMs: TIMEOUT_MS,
      rate: o.rate,
    };
    this.load = o.guest
      ? new Guests(server?.uri ?? o.uri!, join(this.folder, 'guest.log'))
      : await reached(o.uri, () => Driver.begin(driven));
    this.plan = planOf(o, this.strict && this.control !== null);
    if (this.plan !== null) await this.#apply(this.plan, server === null ? target.name : EXPORT);
    const { load } = this;
    const { ledger } = load;
    this.sampler = new Sampler({
      ...{ ledger, control: this.control, watch: this.watch },
      pid: () => server?.pid ?? null,
      unsure: () => load.unsureSlots,
      onSample: (sample) => this.series.add(sample),
    });
    ledger.onTrouble = (trouble) => this.series.add({ type: 'trouble', t: this.sampler.seconds, ...trouble });
    ledger.onWrong = (wrong) => this.series.add({ type: 'wrong', t: this.sampler.seconds, ...wrong });
    if (this.watch !== null) this.watch.onEvents = (events) => this.series.add({ type: 'faults', events });
    if (server !== null) server.onEnd = (ending) => this.#ended(ending);
    this.series.add({
      type: 'start',
      again: o.again,
      seed,
      ms: o.ms,
      settings: this.settings,
      plan: this.plan?.text ?? null,
    });
  }

  /** Takes away what `begin` has made. */
  async abandon(): Promise<void> {
    await this.load?.close();
    await this.server?.stop('SIGKILL');
    this.server?.remove();
  }

  /** Never throws: what goes wrong in here is part of what is reported. */
  async run(): Promise<void> {
    try {
      await this.#phases();
      await this.#verify();
    } catch (error) {
      this.failure ??= error;
    }
    if (this.failure !== null) this.load.giveUp();
    this.failure ??= this.load.failure;
    await this.#close();
  }

  get healMs(): number {
    return Math.min(HEAL.most, Math.max(HEAL.least, this.options.ms * HEAL.share));
  }

  async #apply(plan: Plan, name: string): Promise<void> {
    if (this.control === null) {
      throw new ExitError(EXIT.usage, '--faults: there is no server to ask, allowed: beside --uri also --control PATH');
    }
    const refusal = await this.control.apply(plan.text);
    if (refusal !== null)
      throw new ExitError(EXIT.usage, `${this.options.faults?.path ?? 'faults'}: ${firstOf(refusal)}`);
    this.watch = new FaultWatch(this.control, name);
  }

  async #phases(): Promise<void> {
    const { load, options } = this;
    this.#phase('faults');
    load.start();
    await this.#sample(options.ms - this.healMs);
    if (this.#isOver()) return;
    if (this.plan !== null) await this.control?.clear();
    this.clearedMs = performance.now();
    this.#phase('healed');
    await this.#sample(this.healMs / 2);
    this.troublesHealed = load.ledger.troubleCount;
    await this.#sample(this.healMs / 2);
  }

  async #verify(): Promise<void> {
    const { load } = this;
    if (this.#around.signal.aborted) this.interrupted = true;
    if (this.interrupted) load.giveUp();
    const stopped = load.stop().then(() => true);
    if (!(await Promise.race([stopped, delay(load.stopMs, false, { ref: false })]))) {
      this.hang ??= `something was under way ${load.stopMs / 1000} s after the last was begun`;
      return;
    }
    if (this.plan !== null && this.clearedMs === 0 && this.serverEnding === null) await this.control?.clear();
    if (this.interrupted || this.serverEnding !== null || this.hang !== null || load.failure !== null) return;
    this.#phase('verify');
    await this.#readAll();
    if (this.strict && !this.options.guest) await this.#killInTheEnd();
    await this.sampler.take();
  }

  async #readAll(): Promise<void> {
    const { load } = this;
    const { unreadable, notMended, hang } = await readAll(load);
    this.unreadable.push(...unreadable);
    this.notMended.push(...notMended);
    this.hang ??= hang;
    // What faults have damaged is mended by now, so a server that is strict vouches for its image again.
    this.flushes = await load.flush();
    this.readBackSlots = hang === null && load.failure === null ? load.slots - notMended.length : null;
  }

  async #close(): Promise<void> {
    const { load, server } = this;
    try {
      await load.close();
      if (this.serverEnding === null) this.leaks = await leaksOf(this.control);
      this.stopEnding = (await server?.stop()) ?? null;
      if (server !== null && this.stopEnding?.code === 0 && this.readBackSlots !== null) {
        load.ledger.phase = 'image';
        this.imageVerified = load.verifyImage(server.image);
      }
    } catch (error) {
      this.failure ??= error;
    }
    this.sampler.close();
    server?.remove();
  }

  /** Samples for so long, or until it is over before. */
  async #sample(ms: number): Promise<void> {
    const { ledger } = this.load;
    for (const end = performance.now() + ms; performance.now() < end && !this.#isOver(); ) {
      await pause(Math.min(SAMPLE_MS, end - performance.now()), this.#around.signal);
      await this.#restarting;
      await this.sampler.take();
      const now = performance.now();
      if (now - this.#progressMs >= PROGRESS_MS) {
        this.#progressMs = now;
        const { sampler, watch, outages } = this;
        const restarts = outages.length;
        this.#around.tell(progressLine({ ms: this.options.ms, sampler, ledger, watch, restarts }));
      }
      if (ledger.phase === 'healed') this.hang ??= this.load.hangs(this.clearedMs);
    }
    if (this.#around.signal.aborted) this.interrupted = true;
  }

  #isOver(): boolean {
    return (
      this.#around.signal.aborted || this.serverEnding !== null || this.hang !== null || this.load.failure !== null
    );
  }

  #phase(name: string): void {
    this.load.ledger.phase = name;
    this.series.add({ type: 'phase', t: this.sampler.seconds, name });
    this.#around.tell(`${name}: ${PHASES[name]}`);
  }

  /** The server is gone, and nobody has asked it. A fault may have done that, and a strict server is started again. */
  #ended(ending: Ending): void {
    this.series.add({ type: 'server', t: this.sampler.seconds, ...ending });
    const killer = this.watch?.rows.find(({ site, action }) => endsProcess(site, action));
    if (killer === undefined || !this.strict || this.watch === null) {
      this.serverEnding = ending;
      this.load.giveUp();
      return;
    }
    this.watch.carry();
    this.watch.ended(killer.id);
    const outage = { id: killer.id, fromMs: performance.now() - OUTAGE_MS, toMs: Number.POSITIVE_INFINITY };
    this.outages.push(outage);
    this.#restarting = this.#restart(outage).catch((error: unknown) => {
      this.failure ??= error;
      this.serverEnding = ending;
    });
  }

  /**
   * A server that is strict shows in the end what it keeps: it is killed, and what was flushed is read back from the next. One
   * that knows of a loss is refused after that; it is discarded, and killed once more with nothing lost.
   */
  async #killInTheEnd(): Promise<void> {
    for (let i = 0; i < KILLS && !this.killed && this.readBackSlots !== null; i++) {
      this.#phase('kill');
      this.killed = await this.revival!.kill(this);
      this.#phase('verify');
      await this.#readAll();
    }
  }

  async #restart(outage: { toMs: number }): Promise<void> {
    await this.revival?.comeBack(this);
    outage.toMs = performance.now() + OUTAGE_MS;
    if (this.plan === null || this.control === null || this.load.ledger.phase !== 'faults') return;
    const refusal = await this.control.apply(planAfterKill(this.plan));
    if (refusal !== null) throw new Error(`the plan was refused after a restart: ${refusal}`);
  }
}
