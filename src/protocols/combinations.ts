/**
 * Combinations of protocols, for the server, the explorer, tests and benchmarks: which make no sense, which are broken and
 * how, and which a matrix is made of. It is put together from what the protocols declare.
 *
 * The verdicts are those of the safety matrix; an explorer checks them.
 */
import { LRU_KINDS } from '../pool/policies.ts';
import type { BreakingSwitch, EntryDeclaration, Switch, SwitchSettings } from './declaration.ts';
import {
  type Combination,
  chooseProtocols,
  DEFAULT_SWITCHES,
  type NameOf,
  PROTOCOLS,
  ROLES,
  type Role,
} from './index.ts';
import { LRU_SWITCHES } from './lru/pages.ts';
import { DEFAULT_COMBINATION } from './presets.ts';
import { COMMON_SWITCHES } from './switches.ts';

export interface Objection {
  /** What the message is about. */
  readonly key: keyof Combination;
  readonly text: string;
}

const PARTNERS = ['swapoff', 'busy', 'invalidate'] as const;

export function namesOf<R extends Role>(role: R): NameOf<R>[] {
  return Object.keys(PROTOCOLS[role]) as NameOf<R>[];
}

/** The same with the protocol of that name in the place of its kind. */
export function inPlace(combination: Combination, role: Role, name: string): Combination {
  return { ...combination, [role]: name };
}

function refusal(combination: Combination, role: (typeof PARTNERS)[number]): string | null {
  const chosen = chooseProtocols(combination);
  const reason = chosen[role].declaration.refuses?.(chosen.entry) ?? null;
  return reason === null ? null : `"${chosen[role].name}" ${reason}`;
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}

/** Why a combination has no meaning, and what to choose instead. */
export function meaningless(combination: Combination): Objection[] {
  const refused = PARTNERS.flatMap((role): Objection[] => {
    const text = refusal(combination, role);
    if (text === null) return [];
    const allowed = namesOf(role).filter((name) => refusal(inPlace(combination, role, name), role) === null);
    return [{ key: role, text: `${text}, allowed: ${quoted(allowed)}` }];
  });
  return [...refused, ...withoutPages(combination)];
}

/** Reclaim by pages of the allocator, where a protocol goes by lists of entries. */
function withoutPages(combination: Combination): Objection[] {
  const { entry, busy, lru } = chooseProtocols(combination);
  if (lru !== 'allocator') return [];
  const evicting = namesOf('entry').filter((name) => 'evict' in PROTOCOLS.entry[name]);
  const staying = namesOf('busy').filter((name) => !('onFault' in PROTOCOLS.busy[name]));
  const found: Objection[] = [];
  if (entry.evict === undefined) {
    const text = `"allocator" has what is stored at a slot evicted, and ${entry.name} begins at an entry of a list`;
    found.push({ key: 'lru', text: `${text}, allowed: "entries", or protocol.entry ${quoted(evicting)}` });
  }
  if (busy.onFault !== undefined) {
    const text = `"${busy.name}" takes entries off a list that lru "allocator" does not go by`;
    found.push({ key: 'busy', text: `${text}, allowed: ${quoted(staying)}` });
  }
  return found;
}

/** With everything on one thread, whoever waits for another waits for ever. */
export function needsThreads({ entry, busy }: Combination): Objection[] {
  const waiting = {
    entry: namesOf('entry').filter((name) => PROTOCOLS.entry[name].declaration.facts.retries),
    busy: namesOf('busy').filter((name) => PROTOCOLS.busy[name].waits),
  };
  const object = (key: 'entry' | 'busy', name: string): Objection[] => {
    const names: readonly string[] = waiting[key];
    if (!names.includes(name)) return [];
    const allowed = namesOf(key).filter((other) => !names.includes(other));
    const why = 'retries until another thread moves, and lanes: 0 has one thread';
    return [{ key, text: `"${name}" ${why}, allowed: ${quoted(allowed)}, or lanes from 1` }];
  };
  return [...object('entry', entry), ...object('busy', busy)];
}

/** What will go wrong, worst first; empty for a combination that holds. */
export function broken(combination: Combination): Objection[] {
  const chosen = chooseProtocols(combination);
  const { entry, switches } = chosen;
  const { declaration } = entry;
  const keyOf = (one: Switch | undefined): keyof Combination => (one?.name ?? 'entry') as keyof Combination;
  const pages: readonly BreakingSwitch[] = chosen.lru === 'allocator' ? LRU_SWITCHES : [];
  const changed = [...declaration.brokenBy, ...pages].filter((one) => switches[one.name] !== one.default);
  return [
    ...(declaration.weaknesses?.(({ name }) => switches[name]) ?? []).map(({ of, text }) => ({ key: keyOf(of), text })),
    ...PARTNERS.flatMap((key) => {
      const text = chosen[key].declaration.weakness?.(entry) ?? null;
      return text === null ? [] : [{ key, text }];
    }),
    ...changed.map((one) => ({ key: keyOf(one), text: one.breaks })),
  ];
}

/** What each entry protocol goes with. */
export const USUAL = Object.fromEntries(
  Object.values(PROTOCOLS.entry).map(({ name, declaration: { usual } }): [string, Combination] => {
    const { swapoff, busy, invalidate, switches } = usual;
    return [name, { entry: name, swapoff, busy, invalidate, ...switches }];
  }),
) as Readonly<Record<NameOf<'entry'>, Combination>>;

/** Every choice of four protocols that has a meaning, without a word about switches. */
export function meaningfulCombinations(): Combination[] {
  const every = PARTNERS.reduce<Combination[]>(
    (combinations, role) => combinations.flatMap((one) => namesOf(role).map((name) => inPlace(one, role, name))),
    namesOf('entry').map((entry) => ({ ...FIRST, entry })),
  );
  return every.filter((one) => meaningless(one).length === 0);
}

const FIRST = {
  swapoff: namesOf('swapoff')[0],
  busy: namesOf('busy')[0],
  invalidate: namesOf('invalidate')[0],
} as const;

/** The switches of one entry protocol, in every setting that makes sense. */
function ownSettings(entry: NameOf<'entry'>): SwitchSettings[] {
  const { switches }: EntryDeclaration = PROTOCOLS.entry[entry].declaration;
  const found: SwitchSettings[] = [];
  for (let mask = 0; mask < 1 << switches.length; mask++) {
    const changed = switches.filter((_, i) => ((mask >>> i) & 1) === 1);
    if (changed.some(({ needs }) => needs !== undefined && !changed.includes(needs))) continue;
    found.push(Object.fromEntries(changed.map((one) => [one.name, !one.default])));
  }
  return found;
}

/**
 * What a matrix is made of: every combination that is not refused, with the switches of its entry protocol; and upon the usual
 * one of each entry protocol, each switch that breaks a rule which all lean on.
 */
export function allCombinations(): Combination[] {
  const own = meaningfulCombinations().flatMap((one) =>
    ownSettings(one.entry).map((settings): Combination => ({ ...one, ...settings })),
  );
  const common = Object.values(USUAL).flatMap((usual) =>
    COMMON_SWITCHES.map((one): Combination => ({ ...usual, [one.name]: !one.default })),
  );
  // How trees are indexed matters to how invalidate gets at an entry, and to nothing else.
  const indexed = namesOf('invalidate').map(
    (invalidate): Combination => ({ ...USUAL[DEFAULT_COMBINATION.entry], invalidate, treeIndexing: 'absolute' }),
  );
  return [...own, ...common, ...indexed];
}

/** True if the four names exist and every further member is a switch, or how trees are indexed. */
export function isCombination(
  value: Readonly<Record<string, unknown>>,
): value is Combination & Record<string, unknown> {
  const { entry, swapoff, busy, invalidate, treeIndexing = 'relative', lru = 'entries', ...switches } = value;
  const names: Readonly<Record<Role, unknown>> = { entry, swapoff, busy, invalidate };
  return (
    ROLES.every((role) => Object.hasOwn(PROTOCOLS[role], String(names[role]))) &&
    (treeIndexing === 'relative' || treeIndexing === 'absolute') &&
    LRU_KINDS.some((kind) => kind === lru) &&
    Object.entries(switches).every(([name, on]) => Object.hasOwn(DEFAULT_SWITCHES, name) && typeof on === 'boolean')
  );
}
