/**
 * What the runs of a cell may depend on: each member of the four protocols that a run can look at, and each switch. Cells
 * whose combinations agree in all that one of them looked at are the same cell. Two protocols agree in a member if it is the
 * same value, or the same function.
 */
import { type Combination, DEFAULT_SWITCHES, PROTOCOLS, type SwitchName } from '../../protocols/index.ts';

const { entry: _whole, ...PARTNERS } = PROTOCOLS;
const TABLES: Readonly<Record<string, Readonly<Record<string, object>>>> = PARTNERS;

/**
 * Members that decide nothing: a name; what a protocol says about itself; whether live entries are counted, and whether a pin
 * says that it has its page, which only the protocol that asks for it ever looks at.
 */
const UNWATCHED: ReadonlySet<string> = new Set(['name', 'declaration', 'countsEntries', 'waits']);

/** In the order of the bits that record them. */
export const DIMENSIONS: readonly string[] = [
  'entry',
  ...Object.entries(TABLES).flatMap(([role, table]) =>
    [...new Set(Object.values(table).flatMap((protocol) => Object.keys(protocol)))]
      .filter((member) => !UNWATCHED.has(member))
      .map((member) => `${role}.${member}`),
  ),
  ...Object.keys(DEFAULT_SWITCHES),
  'treeIndexing',
  'lru',
];

export function isWatched(role: string, member: string): boolean {
  return DIMENSIONS.includes(`${role}.${member}`);
}

/** The value of a combination in a dimension; equal values mean equal behaviour as far as this dimension goes. */
function valueIn(combination: Combination, dimension: string): string {
  const [role, member] = dimension.split('.');
  if (role === 'entry') return combination.entry;
  if (role === 'lru') return combination.lru ?? 'entries';
  if (role === 'treeIndexing') return combination.treeIndexing ?? 'relative';
  if (member === undefined) {
    const name = role as SwitchName;
    return String(combination[name] ?? DEFAULT_SWITCHES[name]);
  }
  const table = TABLES[role];
  const chosen = memberOf(table, String((combination as unknown as Record<string, unknown>)[role]), member);
  const same = Object.keys(table).find((name) => memberOf(table, name, member) === chosen);
  return same ?? '';
}

function memberOf(table: Readonly<Record<string, object>>, name: string, member: string): unknown {
  return (table[name] as Readonly<Record<string, unknown>>)[member];
}

/** The values in those dimensions whose bits are set, as one string. */
export function signature(combination: Combination, mask: number): string {
  return DIMENSIONS.filter((_, i) => ((mask >>> i) & 1) === 1)
    .map((dimension) => `${dimension}=${valueIn(combination, dimension)}`)
    .join(' ');
}
