/**
 * The fault plan of a running server: applied, replaced and cleared as a whole, and what can be told of it. Main thread only; each
 * thread is sent the plan and the memory that it is counted in, and puts in and takes off what is its own (thread_faults.ts).
 */
import { parsePlan } from '../config/fault_plan.ts';
import { ConfigError } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { FaultRoutes } from '../control/fault_routes.ts';
import { PlanRefused } from '../control/fault_routes.ts';
import type { FaultsInForce } from '../faults/gate.ts';
import { type FaultPlan, isActive, isArmed } from '../faults/rules.ts';
import { COUNT, countOf, createTable, eventsAfter, type FaultEvent } from '../faults/table.ts';
import { steadyMillis } from '../os/clock.ts';
import { ExitError } from '../os/exit_error.ts';
import type { Shared } from '../pool/shared.ts';
import { openGate } from './fault_gate.ts';
import type { Log } from './log.ts';
import { MAIN, ProcessFaults } from './process_faults.ts';

/** How often the log is told what was injected, and of how many at a time. */
const TELL_MS = 250;
const TOLD_MAX = 10;

interface FaultHost {
  readonly config: Config;
  readonly shared: Shared;
  readonly log: Pick<Log, 'logger'>;
  /** To each lane and to the shrinker. */
  readonly send: (faults: FaultsInForce | null) => void;
}

export class FaultControl implements FaultRoutes {
  private readonly o: FaultHost;
  private readonly process = new ProcessFaults(MAIN);
  private inForce: FaultsInForce | null = null;
  /** The plan that was cleared last, until the next one: what a thread injects before it hears of that is told too. */
  private cleared: FaultsInForce | null = null;
  private teller: NodeJS.Timeout | null = null;
  /** The last event that the log has. */
  private told = 0;

  constructor(o: FaultHost) {
    this.o = o;
  }

  /** POST: a plan that is refused changes nothing. */
  replace(name: string, text: string): object {
    const plan = this.parse(name, text);
    this.apply(plan);
    return { seed: plan.seed, plan: plan.digest, faults: plan.faults.length };
  }

  private parse(name: string, text: string): FaultPlan {
    try {
      return parsePlan(name, text, this.o.config);
    } catch (error) {
      if (error instanceof ConfigError) throw new PlanRefused(error.problems);
      if (error instanceof ExitError) throw new PlanRefused([error.message]);
      throw error;
    }
  }

  apply(plan: FaultPlan): void {
    this.tell();
    const table = createTable(steadyMillis());
    this.set({ plan, table });
    this.cleared = null;
    const faults = plan.faults.map(({ id, class: claimed }) => `${id} (${claimed})`);
    this.o.log.logger.warn({ seed: plan.seed, plan: plan.digest, faults }, 'a fault plan is in force');
  }

  /** DELETE: heals, so what hangs goes on. */
  clear(): object {
    this.tell();
    const was = this.inForce;
    if (was !== null) this.o.log.logger.info({ plan: was.plan.digest }, 'the fault plan is cleared');
    this.set(null);
    this.cleared = was ?? this.cleared;
    return { plan: null };
  }

  close(): void {
    this.process.apply(null);
    if (this.teller !== null) clearInterval(this.teller);
  }

  private set(inForce: FaultsInForce | null): void {
    this.close();
    this.inForce = inForce;
    this.told = 0;
    this.o.send(inForce);
    this.process.apply(inForce === null ? null : openGate(inForce, this.o.shared));
    this.teller = inForce === null ? null : setInterval(() => this.tell(), TELL_MS).unref();
  }

  /** GET. */
  status(after: number | null): object {
    const now = steadyMillis();
    const shown = this.inForce ?? (after === null ? null : this.cleared);
    if (shown === null) return { seed: null, plan: null, sinceMs: null, now, faults: [], events: [], eventsLost: 0 };
    const { plan, table } = shown;
    const isOver = this.inForce === null;
    const since = now - table.since;
    const { events, lost } = eventsAfter(table, after ?? 0);
    return {
      seed: plan.seed,
      plan: plan.digest,
      sinceMs: table.since,
      now,
      faults: plan.faults.map((rule, i) => ({
        id: rule.id,
        site: rule.site,
        action: rule.action,
        class: rule.class,
        armed: !isOver && isArmed(rule, since),
        active: !isOver && isActive(rule, since),
        reached: countOf(table, i, COUNT.REACHED),
        matched: countOf(table, i, COUNT.MATCHED),
        injected: countOf(table, i, COUNT.INJECTED),
      })),
      events: events.map((event) => this.shown(plan, event)),
      eventsLost: lost,
    };
  }

  private shown(plan: FaultPlan, { n, fault, ms, x, slot, count, connection }: FaultEvent): object {
    const named = x < 0 ? {} : { export: this.o.config.exports[x].name };
    const of = connection < 0 ? {} : { connection };
    return { n, id: plan.faults[fault].id, ms, ...named, slot, count, ...of };
  }

  /** A line for each of the first few, and then how many more there were. */
  private tell(): void {
    if (this.inForce === null) return;
    const { plan, table } = this.inForce;
    const { events } = eventsAfter(table, this.told);
    this.told = events.at(-1)?.n ?? this.told;
    const loud = events.filter(({ fault }) => plan.faults[fault].verbose > 0);
    for (const event of loud.slice(0, TOLD_MAX)) {
      const { site, action } = plan.faults[event.fault];
      this.o.log.logger.info(this.shown(plan, event), `fault injected: ${site} ${action}`);
    }
    if (loud.length > TOLD_MAX) this.o.log.logger.info(`${loud.length - TOLD_MAX} more faults were injected`);
  }
}
