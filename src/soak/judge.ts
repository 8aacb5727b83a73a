/** Makes the verdict of what a session has seen: accounts, checks, the counts of the last line. */

import { errorText } from '../os/exit_error.ts';
import { Accounting, type Accounts } from './accounting.ts';
import type { Availability, Span } from './availability.ts';
import { DRIFT_MIN_S, type Drift, driftOf } from './drift.ts';
import { TROUBLES_MAX } from './ledger.ts';
import { WITNESS } from './plan.ts';
import type { Session } from './session.ts';
import { type Check, check, checkDrift, checkFaults, checkPages, type Verdict, verdictOf } from './verdict.ts';

export interface Finding {
  readonly verdict: Verdict;
  readonly checks: readonly Check[];
  readonly accounts: Accounts;
  /** By fault, while it was there. */
  readonly availability: ReadonlyMap<string, Availability>;
  readonly drifts: readonly Drift[];
  readonly counts: {
    readonly wrong: number;
    readonly lost: number;
    readonly leaked: number;
    readonly unaccounted: number;
  };
}

export function judge(session: Session): Finding {
  const { load, watch, sampler, plan, leaks } = session;
  const { ledger } = load;
  const faults = (watch?.rows ?? []).filter(({ id }) => id !== WITNESS);
  const accounting = new Accounting({
    faults,
    events: (watch?.events ?? []).filter(({ id }) => id !== WITNESS),
    forgotten: (id) => watch?.forgotten(id) ?? 0,
    troubles: ledger.troubles,
    seen: ledger,
    outages: session.outages,
    counted: (name) => sampler.counted(name),
  });
  const accounts = accounting.close();
  const unexplained = session.unreadable.filter(({ slot, changedMs }) => !accounting.explainsLoss(slot, changedMs));
  const lost = ledger.lostPages + unexplained.length;
  const drifts = driftOf(sampler.samples);
  const spansOf = (id: string): readonly Span[] => watch?.presences.spansOf(id, session.clearedMs) ?? [];
  const availability = new Map(faults.map(({ id }) => [id, ledger.answers.during(spansOf(id))]));
  const checks = [
    ...checkPages(ledger, lost, load.slots, session.readBackSlots),
    check('nothing leaked', leaks.value, leaks.text),
    ...checkFaults(accounts, plan === null ? null : plan.declared, watch?.eventsLost ?? 0),
    ...checkSession(session),
    ...load.checks(),
    ...checkTiers(session),
    ...checkDrift(drifts, DRIFT_MIN_S),
  ];
  const counts = { wrong: ledger.wrongPages, lost, leaked: leaks.leaked ?? 0, unaccounted: accounts.unaccounted };
  const all = [...checks, ...checkBreak(session, checks)];
  return { verdict: verdictOf(all), checks: all, accounts, availability, drifts, counts };
}

const NOT_REACHED = 'it did not come to that';

function checkSession(session: Session): Check[] {
  const { hang, failure, interrupted, load, sampler, series } = session;
  const { troubleCount } = load.ledger;
  const ran = `${sampler.seconds.toFixed(0)} s`;
  const isWhole = series.failure === null && troubleCount <= TROUBLES_MAX;
  const record = `${troubleCount} errors, of which at most ${TROUBLES_MAX} are accounted for`;
  return [
    check('nothing hangs', hang === null, hang ?? 'every request ended'),
    ...checkServer(session),
    checkHealed(session),
    check(
      'the checker works',
      failure === null || 'unknown',
      failure === null ? 'it threw nothing' : errorText(failure),
    ),
    check('it ran for its time', !interrupted || 'unknown', interrupted ? `ended from outside after ${ran}` : ran),
    check('nothing is left out of the record', isWhole || 'unknown', series.failure ?? record),
  ];
}

function checkServer({ server, serverEnding, stopEnding, imageVerified, outages, load }: Session): Check[] {
  if (server === null) return [];
  const stopped = stopEnding === null ? 'unknown' : stopEnding.code === 0;
  const isRight = !load.ledger.wrong.some(({ phase }) => phase === 'image');
  const up = serverEnding === null ? `${outages.length} restarts after a fault that ends it` : ended(serverEnding);
  return [
    check('the server stays up', serverEnding === null, up),
    check(
      'the server stops cleanly',
      serverEnding === null ? stopped : 'neutral',
      stopEnding === null ? NOT_REACHED : ended(stopEnding),
    ),
    check(
      'the image is what a client would have read',
      imageVerified === null ? 'unknown' : isRight,
      imageVerified === null ? NOT_REACHED : `${imageVerified} slots after the stop`,
    ),
  ];
}

function checkHealed(session: Session): Check {
  const { load, clearedMs, notMended, unreadable, readBackSlots, troublesHealed } = session;
  const name = 'it converges once healed';
  if (clearedMs === 0 || readBackSlots === null) return check(name, 'unknown', NOT_REACHED);
  const late = load.ledger.troubleCount - troublesHealed;
  const text =
    `${late} errors since the second half of the healed phase; ${unreadable.length} slots had to be written anew, ` +
    `and ${notMended.length} of them could not be${session.flushes ? '' : '; a FLUSH is refused'}`;
  return check(name, converges(session), text);
}

/**
 * A slot that was damaged refuses whoever needs what it held until it is written as a whole: reads, requests for a part of it,
 * and a FLUSH that was to cover it. All else succeeds, no connection is lost, and in the end a FLUSH succeeds too.
 */
const MUST_SUCCEED: ReadonlySet<string> = new Set(['write', 'resend', 'trim']);

function converges({ load, clearedMs, healMs, notMended, flushes }: Session): boolean {
  const late = load.ledger.troubles.filter(({ endedMs }) => endedMs >= clearedMs + healMs / 2);
  return (
    flushes && notMended.length === 0 && !late.some(({ is, kind }) => is !== 'request' || MUST_SUCCEED.has(kind ?? ''))
  );
}

function ended({ code, signal }: { code: number | null; signal: NodeJS.Signals | null }): string {
  return signal === null ? `exit code ${code}` : `ended by ${signal}`;
}

/** Whether pages were in all places where a page can be. */
function checkTiers({ sampler, server, control, watch, load, plan, killed, revival }: Session): Check[] {
  const checks: Check[] = [];
  if (server !== null && control !== null) {
    const names = ['written_back_pages', 'image_reads', 'zswpin', 'invalidates'];
    const idle = names.filter((name) => sampler.counted(name) === 0);
    const figures = names.map((name) => `${name} ${sampler.counted(name)}`).join(', ');
    checks.push(check('pool and image were used', idle.length === 0 ? 'true' : 'unknown', figures));
  }
  const witness = watch?.rows.find(({ id }) => id === WITNESS);
  if (plan?.witnessed === true && witness !== undefined) {
    const flushes = load.ledger.tallies.flush.ok;
    const text = `${flushes} FLUSHes were answered, the image was synced ${witness.reached} times`;
    checks.push(check('a FLUSH syncs', flushes === 0 ? 'unknown' : witness.reached > 0, text));
  }
  if (revival !== null && revival.served + revival.refused > 0) {
    const { wrong, served, refused } = revival;
    const text = `of the starts after a kill ${served} served what was left, and ${refused} were refused because of a loss`;
    checks.push(check('a marker vouches for what is there', wrong.length === 0, wrong.join('; ') || text));
  }
  if (killed) {
    const gone = load.ledger.wrong.find(({ phase }) => phase === 'verify');
    const flushes = load.ledger.tallies.flush.ok;
    const text = gone?.text ?? `what ${flushes} FLUSHes covered was read from the server that was started after a kill`;
    checks.push(check('what was flushed outlives a kill', gone === undefined && (flushes > 0 || 'unknown'), text));
  }
  return checks;
}

/** A break that nothing notices shows that the soak proves nothing. */
function checkBreak({ options }: Session, checks: readonly Check[]): Check[] {
  if (options.break === undefined) return [];
  const noticed = checks.filter(({ value }) => value === 'false').map(({ name }) => name);
  const text = noticed.length === 0 ? 'nothing noticed it' : `broken on purpose, and noticed by: ${noticed.join(', ')}`;
  return [check(`break: ${options.break}`, noticed.length === 0 ? 'unknown' : 'neutral', text)];
}
