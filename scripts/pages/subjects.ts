/** The protocols that have a page, and the rows of the matrix that each page shows. */

import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { allCombinations, inPlace, meaningless, namesOf, USUAL } from '#src/protocols/combinations.js';
import { type Combination, DEFAULT_SWITCHES, ROLES, type Role, type SwitchName } from '#src/protocols/index.js';
import { COMMON_SWITCHES } from '#src/protocols/switches.js';

export interface Subject {
  readonly role: Role;
  readonly name: string;
  /** Below src/protocols. */
  readonly page: string;
  readonly source: string;
}

export const SUBJECTS: readonly Subject[] = ROLES.flatMap((role) =>
  namesOf(role).map((name) => {
    const file = `${role}/${name.replaceAll('-', '_')}`;
    return { role, name, page: `${file}.md`, source: `${file}.ts` };
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

export const ENTRIES = namesOf('entry');
const SWITCHES = Object.keys(DEFAULT_SWITCHES) as SwitchName[];

export function rowsOf({ role, name }: Subject): Row[] {
  if (role !== 'entry') {
    return ENTRIES.map((entry) => inPlace(USUAL[entry], role, name))
      .filter(isAllowed)
      .map((combination) => ({ combination, label: `with \`${combination.entry}\``, common: false, own: false }));
  }
  const usual = USUAL[name as Combination['entry']];
  const switched = allCombinations().filter((one) => ROLES.every((kind) => one[kind] === usual[kind]));
  const swapped = ROLES.filter((kind) => kind !== 'entry').flatMap((kind) =>
    namesOf(kind)
      .filter((other) => other !== usual[kind])
      .map((other) => ({ combination: inPlace(usual, kind, other), label: `\`${kind}=${other}\`` })),
  );
  return [
    { combination: usual, label: 'usual', common: false, own: true },
    ...switched
      .filter((one) => formatCombination(one) !== formatCombination(usual))
      .map((combination) => {
        const common = COMMON_SWITCHES.some((one) => combination[one.name] !== undefined);
        return { combination, label: switchesIn(usual, combination), common, own: !common };
      }),
    ...swapped
      .filter(({ combination }) => isAllowed(combination))
      .map((row) => ({ ...row, common: false, own: false })),
  ];
}

/** The same with other protocols in the place of this kind. */
export function othersInPlace(combination: Combination, role: Role): Combination[] {
  return namesOf(role)
    .filter((other) => other !== combination[role])
    .map((other) => inPlace(combination, role, other))
    .filter(isAllowed);
}

function isAllowed(combination: Combination): boolean {
  return meaningless(combination).length === 0;
}

function switchesIn(usual: Combination, combination: Combination): string {
  const was = { ...DEFAULT_SWITCHES, ...usual };
  const is = { ...DEFAULT_SWITCHES, ...combination };
  return SWITCHES.filter((name) => was[name] !== is[name])
    .map((name) => `\`${name}=${is[name]}\``)
    .join(', ');
}
