/**
 * The verdict: of three values, false before unknown before true. What was never tried proves nothing, so each check of
 * safety stands beside one that asks whether there was anything to check.
 */
import type { Accounts } from './accounting.ts';
import type { Drift } from './drift.ts';
import { MATTERS } from './drift.ts';
import type { Abilities } from './hand.ts';
import type { Kind, Ledger } from './ledger.ts';
import { KINDS } from './ledger.ts';

/** `neutral`: it does not apply here, and says so. */
type Value = 'true' | 'false' | 'unknown' | 'neutral';

export interface Check {
  readonly name: string;
  readonly value: Value;
  readonly text: string;
}

export type Verdict = 'PASS' | 'FAIL' | 'UNKNOWN';

export function verdictOf(checks: readonly Check[]): Verdict {
  if (checks.some(({ value }) => value === 'false')) return 'FAIL';
  if (checks.some(({ value }) => value === 'unknown')) return 'UNKNOWN';
  return checks.some(({ value }) => value === 'true') ? 'PASS' : 'UNKNOWN';
}

export function check(name: string, value: Value | boolean, text: string): Check {
  return { name, value: typeof value === 'boolean' ? (value ? 'true' : 'false') : value, text };
}

/** `leaked`: null where nobody can be asked; `leakText` says why, or what does not agree. */
export interface Leaks {
  readonly leaked: number | null;
  readonly value: Value;
  readonly text: string;
}

export function checkPages(ledger: Ledger, lost: number, slots: number, readBack: number | null): Check[] {
  const wrong = ledger.wrong.find(({ kind }) => kind !== 'lost');
  const gone = ledger.wrong.find(({ kind }) => kind === 'lost');
  const pages = `${ledger.verified} pages were held against what was written`;
  const isWhole = readBack === slots;
  return [
    check(
      'no wrong bytes',
      ledger.wrongPages === 0,
      wrong === undefined ? pages : `${ledger.wrongPages}: ${wrong.text}`,
    ),
    check(
      'no lost pages',
      lost === 0,
      lost === 0 ? pages : `${lost}: ${gone?.text ?? 'slots that can not be read, and no fault explains it'}`,
    ),
    check(
      'everything was read back',
      isWhole ? 'true' : 'unknown',
      readBack === null ? 'it did not come to that' : `${readBack} of ${slots} slots, after all faults were cleared`,
    ),
  ];
}

export function checkFaults(accounts: Accounts, declared: number | null, eventsLost: number): Check[] {
  const { rows, unaccounted, unexplained, unexplainedCount } = accounts;
  const guilty = rows.filter((row) => row.unaccounted > 0).map(({ id, unaccounted }) => `${id}: ${unaccounted}`);
  const errors =
    unexplainedCount === 0 ? [] : [`${unexplainedCount} errors that no fault explains: ${unexplained[0]?.text}`];
  const injected = rows.reduce((sum, row) => sum + row.injected, 0);
  const text = unaccounted === 0 ? `${injected} injections` : [...guilty, ...errors].join('; ');
  const checks = [check('nothing is unaccounted for', unaccounted === 0, text)];
  if (declared === null) return checks;
  const idle = rows.filter((row) => row.matched === 0);
  const isReached = rows.length >= declared && idle.length === 0;
  const idleText = idle.map(({ id, reached }) => `${id} (${reached === 0 ? 'never reached' : 'nothing matched'})`);
  const lucky = rows.filter((row) => row.injected === 0).map(({ id }) => id);
  const reachedText = `${rows.length} faults${lucky.length === 0 ? '' : `; never drawn: ${lucky.join(', ')}`}`;
  const untold = rows.reduce((sum, row) => sum + row.untold, 0);
  return [
    ...checks,
    check(
      'every fault was reached',
      isReached ? 'true' : 'unknown',
      isReached ? reachedText : idleText.join(', ') || `${rows.length} of ${declared} faults are known`,
    ),
    check(
      'every injection was told',
      eventsLost === 0 && untold === 0 ? 'true' : 'unknown',
      `${untold} injections without an event, ${eventsLost} events lost`,
    ),
  ];
}

/** An operation of a kind that never succeeded was not tested. */
export function checkKinds(ledger: Ledger, can: Abilities): Check {
  const offered: Partial<Record<Kind, boolean>> = {
    ...{ part_read: can.parts, part_write: can.parts, trim: can.trim, write_zeroes: can.writeZeroes },
    // Without cuts it is only sent again when the server is late.
    ...{ flush: can.flush, cache: can.cache, block_status: can.blockStatus, resend: can.cuts },
  };
  const never = KINDS.filter((kind) => offered[kind] !== false && ledger.tallies[kind].ok === 0);
  const tried = never.length === 0 && (ledger.cuts > 0 || !can.cuts);
  const text = `${ledger.operations} operations, ${ledger.cuts} connections cut with requests under way`;
  return check(
    'every kind of operation succeeded',
    tried ? 'true' : 'unknown',
    tried ? text : `never: ${[...never, ...(ledger.cuts === 0 && can.cuts ? ['a cut connection'] : [])].join(', ')}`,
  );
}

export function checkDrift(drifts: readonly Drift[], minimum: number): Check[] {
  return drifts.map(({ name, unit, slope, grows }) => {
    if (slope === null) return check(`drift: ${name}`, 'neutral', 'not judged: too few samples');
    const figures = `${sized(slope.slope, unit)} per hour (99 %: ${sized(slope.low, unit)} to ${sized(slope.high, unit)}) at ${sized(slope.level, unit)}`;
    if (grows === null)
      return check(
        `drift: ${name}`,
        'neutral',
        `not judged (runs of ${minimum / 60} min and more, the server's only): ${figures}`,
      );
    const rule =
      slope.low <= 0 && slope.high >= 0
        ? 'not distinguishable from zero'
        : `held against it above ${MATTERS * 100} % per hour`;
    return check(`drift: ${name}`, !grows, `${figures}; ${rule}`);
  });
}

function sized(value: number, unit: string): string {
  if (unit !== 'bytes') return `${value.toFixed(Math.abs(value) < 10 ? 2 : 0)} ${unit}`;
  return `${(value / 2 ** 20).toFixed(2)} MiB`;
}
