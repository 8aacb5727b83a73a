/** The protocols that have a page, and the rows of the matrix that each page shows. */

import type { Combination } from '#src/explore/cell.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { allCombinations, USUAL } from '#src/explore/search/combinations.js';
import { choiceOf, meaningless } from '#src/protocols/combinations.js';
import {
  BUSY_PROTOCOLS,
  ENTRY_PROTOCOLS,
  INVALIDATE_PROTOCOLS,
  type ProtocolNames,
  SWAPOFF_PROTOCOLS,
} from '#src/protocols/index.js';
import { DEFAULT_SWITCHES, type ProtocolSwitches } from '#src/protocols/switches.js';

const TABLES = {
  entry: ENTRY_PROTOCOLS,
  swapoff: SWAPOFF_PROTOCOLS,
  busy: BUSY_PROTOCOLS,
  invalidate: INVALIDATE_PROTOCOLS,
} as const;
export type Role = keyof typeof TABLES;
export const ROLES = Object.keys(TABLES) as Role[];

export interface Subject {
  readonly role: Role;
  readonly name: string;
  /** Below src/protocols. */
  readonly page: string;
  readonly source: string;
}

/** Sources that are not named after their protocol. */
const SOURCES: Readonly<Record<string, string>> = {
  'load-noreload': 'load_before_lock',
  'load-reset': 'load_before_lock',
  'load-reload': 'load_before_lock',
};

export const SUBJECTS: readonly Subject[] = ROLES.flatMap((role) =>
  Object.keys(TABLES[role]).map((name) => {
    const snake = name.replaceAll('-', '_');
    return {
      role,
      name,
      page: `${role}/${snake}.md`,
      source: `${role}/${SOURCES[name] ?? snake}.ts`,
    };
  }),
);

export interface Row {
  readonly combination: Combination;
  /** How it differs from what the page is about. */
  readonly label: string;
  /** A switch is on that breaks a rule which all protocols lean on. */
  readonly common: boolean;
  /** Nothing differs from the usual combination but the protocol's own switches. */
  readonly own: boolean;
}

export const ENTRIES = Object.keys(ENTRY_PROTOCOLS) as ProtocolNames['entry'][];
const SWITCHES = Object.keys(DEFAULT_SWITCHES) as (keyof ProtocolSwitches)[];
/** Those that the matrix has for every entry protocol; the others belong to one of them. */
const COMMON = SWITCHES.filter((name) =>
  ENTRIES.every((entry) => allCombinations().some((one) => one.entry === entry && one[name] !== undefined)),
);

export function rowsOf({ role, name }: Subject): Row[] {
  if (role !== 'entry') {
    return ENTRIES.map((entry) => put(USUAL[entry], role, name))
      .filter(isAllowed)
      .map((combination) => ({ combination, label: `with \`${combination.entry}\``, common: false, own: false }));
  }
  const usual = USUAL[name as Combination['entry']];
  const switched = allCombinations().filter((one) => ROLES.every((kind) => one[kind] === usual[kind]));
  const swapped = ROLES.filter((kind) => kind !== 'entry').flatMap((kind) =>
    Object.keys(TABLES[kind])
      .filter((other) => other !== usual[kind])
      .map((other) => ({ combination: put(usual, kind, other), label: `\`${kind}=${other}\`` })),
  );
  return [
    { combination: usual, label: 'usual', common: false, own: true },
    ...switched
      .filter((one) => formatCombination(one) !== formatCombination(usual))
      .map((combination) => {
        const common = COMMON.some((switchName) => combination[switchName] !== undefined);
        return { combination, label: switchesIn(usual, combination), common, own: !common };
      }),
    ...swapped
      .filter(({ combination }) => isAllowed(combination))
      .map((row) => ({ ...row, common: false, own: false })),
  ];
}

/** The same with other protocols in the place of this kind. */
export function othersInPlace(combination: Combination, role: Role): Combination[] {
  return Object.keys(TABLES[role])
    .filter((other) => other !== combination[role])
    .map((other) => put(combination, role, other))
    .filter(isAllowed);
}

function put(combination: Combination, role: Role, name: string): Combination {
  return { ...combination, [role]: name };
}

function isAllowed(combination: Combination): boolean {
  return meaningless(choiceOf(combination)).length === 0;
}

function switchesIn(usual: Combination, combination: Combination): string {
  const was = choiceOf(usual);
  const is = choiceOf(combination);
  return SWITCHES.filter((name) => was[name] !== is[name])
    .map((name) => `\`${name}=${is[name]}\``)
    .join(', ');
}
