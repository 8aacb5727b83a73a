// What the parts of a fault plan must fulfil together, and against the config: the action belongs to the site, the class is one
// that can be claimed, filters say something there, the site can be reached, and no two faults exclude each other.
import type { FaultRule, Match } from '../faults/rules.ts';
import { type Action, CLASSES, type Extra, FILTERS, siteOf } from '../faults/sites.ts';
import { LANES_MAX, PAGE_SIZE } from '../pool/limits.ts';
import { canonicalPath, MemcgError } from '../pool/memcg_path.ts';
import { STEP_LABELS } from '../protocols/steps.ts';
import type { PlanConfig, WrittenFault } from './fault_schema.ts';
import type { OptionPath, Problem } from './option_path.ts';
import { formatDuration, formatSize, MIB, parseDuration, parseSize } from './units.ts';

/** Memory that a plan may take, of a machine that has it. */
const BYTES_MAX = 64 * 1024 * MIB;

const shown = (value: unknown): string => JSON.stringify(value) ?? String(value);

/** Paths are inside the fault. */
export function checkFault(fault: WrittenFault, config: PlanConfig): Problem[] {
  const { actions } = siteOf(fault.site);
  if (!Object.hasOwn(actions, fault.action)) {
    const message = `${shown(fault.action)} is no action of ${fault.site}, allowed: ${Object.keys(actions).join(', ')}`;
    return [{ path: ['action'], message }];
  }
  const action = actions[fault.action];
  return [
    ...extrasOf(fault).problems,
    ...checkClass(fault, action, config),
    ...checkFilters(fault),
    ...checkMatch(fault, config),
    ...checkThreads(fault, config),
    ...checkEnd(fault, action),
  ];
}

function checkClass(
  { site, action: name, class: claimed }: WrittenFault,
  action: Action,
  config: PlanConfig,
): Problem[] {
  const wanted = claimed ?? action.class;
  const blind = action.bySums === true && !config.pool.checksums && !config.debug.oracle;
  const strictest = blind ? 'may-lose' : action.strictest;
  if (CLASSES.indexOf(wanted) >= CLASSES.indexOf(strictest)) return [];
  const allowed = CLASSES.slice(CLASSES.indexOf(strictest)).join(', ');
  const why = blind ? ', which nobody notices with pool.checksums: false' : '';
  return [{ path: ['class'], message: `${wanted} can't be claimed of ${site} ${name}${why}, allowed: ${allowed}` }];
}

function checkFilters({ site, match }: WrittenFault): Problem[] {
  const { filters } = siteOf(site);
  const others = FILTERS.filter((name) => match[name] !== undefined && !filters.includes(name));
  const allowed = filters.length === 0 ? 'no filter' : filters.join(', ');
  return others.map((name) => ({ path: ['match', name], message: `is not known at ${site}, allowed: ${allowed}` }));
}

function checkMatch({ match }: WrittenFault, { exports, durability }: PlanConfig): Problem[] {
  const problems: Problem[] = [];
  const named = exports.filter(({ name }) => match.export === undefined || name === match.export);
  if (named.length === 0) {
    const names = exports.map(({ name }) => name).join(', ');
    problems.push({ path: ['match', 'export'], message: `${shown(match.export)} is no export, allowed: ${names}` });
  }
  const last = Math.max(...named.map(({ size }) => size / PAGE_SIZE - 1));
  if (named.length > 0 && match.slots !== undefined && match.slots[1] > last) {
    problems.push({
      path: ['match', 'slots'],
      message: `ends at ${match.slots[1]}, allowed: up to ${last}, the last slot`,
    });
  }
  if (match.command === 'flush' && durability !== 'strict') {
    problems.push({ path: ['match', 'command'], message: 'flush never comes with durability: "volatile"' });
  }
  try {
    if (match.memcg !== undefined) canonicalPath(match.memcg);
  } catch (error) {
    if (!(error instanceof MemcgError)) throw error;
    problems.push({ path: ['match', 'memcg'], message: `${error.message}, allowed: a path of cgroups` });
  }
  return problems;
}

function checkThreads({ site, with: extra }: WrittenFault, { lanes }: PlanConfig): Problem[] {
  if (siteOf(site).threads === true && lanes === 0) {
    return [{ path: ['site'], message: `${site} has no thread of its own with lanes: 0, allowed: with lanes` }];
  }
  const lane = typeof extra.thread === 'string' ? Number(extra.thread.slice('lane '.length)) : extra.lane;
  if (typeof lane !== 'number' || !(lane >= lanes)) return [];
  const path: OptionPath = ['with', extra.lane === undefined ? 'thread' : 'lane'];
  return [{ path, message: `lane ${lane} is not there, allowed: 0 to ${lanes - 1}` }];
}

function checkEnd({ site, for: lasts }: WrittenFault, { ends }: Action): Problem[] {
  if (ends !== true || lasts !== undefined) return [];
  const message = `is missing, and nobody could clear ${site} meanwhile, allowed: a time with its unit such as "2s"`;
  return [{ path: ['for'], message }];
}

/** What the action takes, with its defaults, and what is wrong with it. */
export function extrasOf({ site, action, with: written }: WrittenFault): {
  values: Record<string, number | string>;
  problems: Problem[];
} {
  const extras = siteOf(site).actions[action].with ?? {};
  const names = Object.keys(extras);
  const values: Record<string, number | string> = {};
  const problems: Problem[] = [];
  for (const name of Object.keys(written)) {
    if (names.includes(name)) continue;
    const allowed = names.length === 0 ? 'nothing' : names.join(', ');
    problems.push({ path: ['with', name], message: `unknown key, ${site} ${action} takes ${allowed}`, key: true });
  }
  for (const [name, extra] of Object.entries(extras)) {
    const given = Object.hasOwn(written, name) ? written[name] : extra.default;
    const value = READ[extra.kind](given, extra);
    if (value !== undefined) values[name] = value;
    else {
      const what = given === undefined ? 'is missing' : `${shown(given)} is not valid`;
      problems.push({ path: ['with', name], message: `${what}, allowed: ${allowedOf(extra)}` });
    }
  }
  return { values, problems };
}

const READ: Readonly<Record<Extra['kind'], (value: unknown, extra: Extra) => number | string | undefined>> = {
  time(value, { max = 0 }) {
    const ms = parseDuration(value);
    return ms !== undefined && ms <= max ? ms : undefined;
  },
  bytes(value) {
    const bytes = parseSize(value);
    return bytes !== undefined && bytes > 0 && bytes <= BYTES_MAX ? bytes : undefined;
  },
  step: (value) => STEP_LABELS.find((label) => label === value),
  lane: (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < LANES_MAX ? value : undefined,
  thread: (value) => (typeof value === 'string' && /^(main|lane \d{1,2})$/.test(value) ? value : undefined),
};

function allowedOf({ kind, max = 0 }: Extra): string {
  if (kind === 'time') return `a time with its unit such as "20ms", up to ${formatDuration(max)}`;
  if (kind === 'bytes') return `a size such as "64MiB", up to ${formatSize(BYTES_MAX)}`;
  if (kind === 'step') return STEP_LABELS.join(', ');
  return kind === 'lane' ? 'the number of a lane, from 0' : '"main", or "lane 0" and so on';
}

/** Faults with the same name, and pairs of which one call could meet both although only one can happen. */
export function checkOverlaps(rules: readonly FaultRule[]): Problem[] {
  const problems: Problem[] = [];
  for (const [i, rule] of rules.entries()) {
    const same = rules.findIndex(({ id }) => id === rule.id);
    if (same < i) {
      const message = `${shown(rule.id)} is the id of faults[${same}] too, allowed: each id once`;
      problems.push({ path: ['faults', i, 'id'], message });
    }
    const other = rules.findIndex((one, at) => at < i && excludes(one, rule));
    if (other < 0) continue;
    const message = `can't happen to the call that faults[${other}] (${rules[other].action}) happens to, allowed: at another time, or to other exports, slots, connections or commands`;
    problems.push({ path: ['faults', i], message });
  }
  return problems;
}

function excludes(a: FaultRule, b: FaultRule): boolean {
  if (a.site !== b.site || a.action === b.action || a.site.startsWith('process.')) return false;
  const { actions } = siteOf(a.site);
  if (actions[a.action].together === true || actions[b.action].together === true) return false;
  return timesMeet(a, b) && matchesMeet(a.match, b.match);
}

function timesMeet(a: FaultRule, b: FaultRule): boolean {
  return a.at < (b.for === null ? Infinity : b.at + b.for) && b.at < (a.for === null ? Infinity : a.at + a.for);
}

/** Whether a call can be both; memcgs may be inside each other, so that they only keep two apart that are neither's part. */
function matchesMeet(a: Match, b: Match): boolean {
  const apart = <T>(one: T | null, other: T | null, same: (one: T, other: T) => boolean): boolean =>
    one !== null && other !== null && !same(one, other);
  const equal = (one: unknown, other: unknown): boolean => one === other;
  if (apart(a.x, b.x, equal) || apart(a.connection, b.connection, equal) || apart(a.command, b.command, equal))
    return false;
  if (apart(a.slots, b.slots, (one, other) => one[0] <= other[1] && other[0] <= one[1])) return false;
  return !apart(a.memcg, b.memcg, (one, other) => isWithin(one, other) || isWithin(other, one));
}

/** Of canonical paths. */
function isWithin(path: string, above: string): boolean {
  return above === '/' || path === above || path.startsWith(`${above}/`);
}
