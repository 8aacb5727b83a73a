/** The faults of a plan, each by itself. */
import { readFileSync } from 'node:fs';
import { parse } from 'jsonc-parser';
import { parseDuration } from '#src/config/units.js';

export interface PlannedFault {
  readonly id: string;
  readonly site: string;
  readonly action: string;
  readonly when: { readonly probability?: number };
  readonly with: Readonly<Record<string, string>>;
  /** All that the plan says of it. */
  readonly said: Readonly<Record<string, unknown>>;
}

export function faultsOf(path: string): PlannedFault[] {
  const { faults } = parse(readFileSync(path, 'utf8')) as { faults: Record<string, unknown>[] };
  return faults.map((said, i) => ({
    id: String(said.id ?? `${said.site}#${i}`),
    site: String(said.site),
    action: String(said.action),
    when: (said.when ?? {}) as PlannedFault['when'],
    with: (said.with ?? {}) as PlannedFault['with'],
    said,
  }));
}

/** A plan with this one alone: from the beginning on, and until all faults are cleared if it lasts that long in the plan. */
export function planOfOne({ said, action }: PlannedFault, ms: number): string {
  const wanted = parseDuration(said.for);
  const isShort = wanted !== undefined && (wanted < ms || action === 'hang');
  const { at: _, for: __, ...rest } = said;
  return JSON.stringify({ seed: 1, faults: [{ ...rest, ...(isShort ? { for: said.for } : {}), verbose: 0 }] });
}
