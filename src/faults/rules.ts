/** A plan as the threads have it: checked, in plain values that survive postMessage. config/fault_plan.ts makes one of a file. */
import type { When } from './decide.ts';
import type { FaultClass, SiteName } from './sites.ts';

/** Rules of one plan. */
export const FAULTS_MAX = 256;

export interface FaultRule {
  readonly id: string;
  readonly site: SiteName;
  readonly action: string;
  readonly class: FaultClass;
  readonly match: Match;
  readonly when: When;
  readonly verbose: number;
  /** From when on after the plan was applied, and for how long; null: for ever. Milliseconds. */
  readonly at: number;
  readonly for: number | null;
  /** What the action takes: milliseconds, bytes, names. */
  readonly with: Readonly<Record<string, number | string>>;
}

/** What is null limits nothing. */
export interface Match {
  /** Index of the export. */
  readonly x: number | null;
  /** Canonical path; what is below it belongs to it. */
  readonly memcg: string | null;
  /** Both ends count. */
  readonly slots: readonly [number, number] | null;
  readonly connection: number | null;
  readonly command: string | null;
  /** Of an entry: milliseconds since it was stored or read last, at least. */
  readonly age: number | null;
}

export interface FaultPlan {
  readonly seed: number;
  /** The first digits of the SHA-256 of what was decided on, so that two runs can be seen to have had the same plan. */
  readonly digest: string;
  readonly faults: readonly FaultRule[];
}

/** Whether the time line has the fault on, so many milliseconds after its plan was applied. */
export function isActive({ at, for: lasts }: Pick<FaultRule, 'at' | 'for'>, sinceMs: number): boolean {
  return sinceMs >= at && (lasts === null || sinceMs < at + lasts);
}

/** Whether it is on, or will be. */
export function isArmed({ at, for: lasts }: Pick<FaultRule, 'at' | 'for'>, sinceMs: number): boolean {
  return lasts === null || sinceMs < at + lasts;
}
