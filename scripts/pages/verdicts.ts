/** Expected verdicts, which the matrix tests hold against real explorations, as text; and which protocol is to blame. */

import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { broken } from '#src/protocols/combinations.js';
import type { Combination } from '#src/protocols/index.js';
import { EXPECTED, KINDS, SCENARIOS } from './expected_matrix.ts';

/** `combination` as in a replay string. */
export function expectedVerdict(combination: string, scenario: string): string {
  return KINDS[EXPECTED[combination]?.[SCENARIOS.indexOf(scenario)] ?? ''] ?? 'unknown';
}

export function verdictOf(combination: Combination, scenario: string): string {
  return expectedVerdict(formatCombination(combination), scenario);
}

/** Kinds of findings with the scenarios that find them. */
export function findingsOf(combination: Combination): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const scenario of SCENARIOS) {
    const verdict = verdictOf(combination, scenario);
    if (verdict !== 'clean') found.set(verdict, [...(found.get(verdict) ?? []), scenario]);
  }
  return found;
}

export function foundText(combination: Combination): string {
  const found = [...findingsOf(combination)];
  const clean = SCENARIOS.length - found.reduce((sum, [, scenarios]) => sum + scenarios.length, 0);
  if (found.length === 0) return `clean in all ${clean}`;
  const kinds = found.map(([kind, scenarios]) => `**${kind}** in ${scenarios.map((one) => `\`${one}\``).join(', ')}`);
  return [...kinds, `clean in ${clean} others`].join('; ');
}

/** What the server says at start about a broken choice. */
export function saidText(combination: Combination): string {
  const said = broken(combination).map(({ text }) => text);
  return said.length === 0 ? 'safe' : said.join('; ');
}
