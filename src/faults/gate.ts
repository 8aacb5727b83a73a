/**
 * What one thread asks when it passes a site: which faults happen to this call. There is a gate only while a plan is in force.
 *
 * Replay: whether the n-th match of a fault fails is decided by seed, id and n alone; all threads count matches together. What
 * calls there are, and in which order threads come, is not ours to decide.
 */
import { steadyMillis } from '../os/clock.ts';
import { decides, drawn, keyOf } from './decide.ts';
import { type FaultPlan, type FaultRule, isActive, type Match } from './rules.ts';
import type { SiteName } from './sites.ts';
import { bump, COUNT, claim, type FaultTable, note } from './table.ts';

/** A plan, and where it is counted: what threads are sent. */
export interface FaultsInForce {
  readonly plan: FaultPlan;
  readonly table: FaultTable;
}

/** What a call is about; what is left out is not known there. */
interface Where {
  readonly x?: number;
  readonly slot?: number;
  /** Slots; 1 unless given. */
  readonly count?: number;
  readonly connection?: number;
  readonly command?: string;
  /** Milliseconds since an entry was used last. */
  readonly age?: number;
}

/** Whether slot `slot` of export `x` belongs to the memcg at `path`, or to one below it. */
type InMemcg = (x: number, slot: number, path: string) => boolean;

interface Compiled {
  readonly rule: FaultRule;
  /** Its index in the plan. */
  readonly fault: number;
  readonly key: number;
}

/** A fault that happens now. */
export class Injection {
  readonly rule: FaultRule;
  readonly fault: number;
  private readonly key: number;
  private readonly n: number;

  constructor({ rule, fault, key }: Compiled, n: number) {
    this.rule = rule;
    this.fault = fault;
    this.key = key;
    this.n = n;
  }

  get action(): string {
    return this.rule.action;
  }

  /** A whole number from 0 to `end - 1`. */
  draw(which: number, end: number): number {
    // The first draw has decided that it happens.
    return Math.floor(drawn(this.key, this.n, which + 1) * end);
  }

  /** Of a number that its action takes. */
  extra(name: string): number {
    return Number(this.rule.with[name]);
  }
}

const NONE: readonly Injection[] = [];

export class Gate {
  private readonly table: FaultTable;
  private readonly bySite = new Map<SiteName, Compiled[]>();
  private readonly inMemcg: InMemcg;

  constructor({ plan, table }: FaultsInForce, inMemcg: InMemcg) {
    this.table = table;
    this.inMemcg = inMemcg;
    for (const [fault, rule] of plan.faults.entries()) {
      const rules = this.bySite.get(rule.site) ?? [];
      rules.push({ rule, fault, key: keyOf(plan.seed, rule.id) });
      this.bySite.set(rule.site, rules);
    }
  }

  /** Whether the plan names the site, or one of a group such as "image.". */
  names(site: SiteName | 'pool.' | 'image.'): boolean {
    return [...this.bySite.keys()].some((one) => one === site || (site.endsWith('.') && one.startsWith(site)));
  }

  /** Milliseconds since the plan was applied. */
  get since(): number {
    return steadyMillis() - this.table.since;
  }

  rulesOf(site: SiteName): readonly FaultRule[] {
    return (this.bySite.get(site) ?? []).map(({ rule }) => rule);
  }

  /** The faults of this call. `can`: whether an action has anything to work on here; what has not does not reach it. */
  reach(site: SiteName, where: Where, can?: (rule: FaultRule) => boolean): readonly Injection[] {
    const rules = this.bySite.get(site);
    if (rules === undefined) return NONE;
    const { since } = this;
    let found: Injection[] | null = null;
    for (const of of rules) {
      const { rule, fault } = of;
      if (!isActive(rule, since) || can?.(rule) === false) continue;
      bump(this.table, fault, COUNT.REACHED);
      if (!this.matches(rule.match, where)) continue;
      const n = bump(this.table, fault, COUNT.MATCHED);
      const times = rule.when.nth === null ? rule.when.times : -1;
      if (!decides(rule.when, of.key, n) || !claim(this.table, fault, times)) continue;
      found ??= [];
      const injection = new Injection(of, n);
      found.push(injection);
      this.tell(injection, where);
    }
    return found ?? NONE;
  }

  /** Notes what an injection has met, besides what `reach` has noted. */
  tell({ fault }: Injection, { x = -1, slot = -1, count = 0, connection = -1 }: Where): void {
    note(this.table, { fault, ms: steadyMillis(), x, slot, count: slot < 0 ? 0 : Math.max(1, count), connection });
  }

  private matches({ x, memcg, slots, connection, command, age }: Match, where: Where): boolean {
    if (x !== null && where.x !== x) return false;
    if (connection !== null && where.connection !== connection) return false;
    if (command !== null && where.command !== command) return false;
    if (age !== null && !(where.age !== undefined && where.age >= age)) return false;
    const { slot, count = 1 } = where;
    if (slots !== null && (slot === undefined || slot > slots[1] || slot + Math.max(1, count) <= slots[0]))
      return false;
    if (memcg === null) return true;
    return where.x !== undefined && slot !== undefined && this.inMemcg(where.x, slot, memcg);
  }
}
