/**
 * Which findings a protocol is to blame for. A swapoff, busy or invalidate protocol: those that are gone when another of its
 * kind stands in its place. An entry protocol: those of its usual combination, with its own switches set in every way, that
 * none of its partners is to blame for.
 */
import { type Combination, ROLES, type Role } from '#src/protocols/index.js';
import { SCENARIOS } from './expected_matrix.ts';
import { othersInPlace, rowsOf, type Subject } from './subjects.ts';
import { findingsOf, verdictOf } from './verdicts.ts';

export interface Blamed {
  readonly combination: Combination;
  readonly scenario: string;
  readonly kind: string;
}

export function blamedOn(subject: Subject): Blamed[] {
  const rows = rowsOf(subject).filter(({ own }) => own || subject.role !== 'entry');
  const blamed = rows.flatMap(({ combination }) =>
    SCENARIOS.map((scenario) => ({ combination, scenario, kind: verdictOf(combination, scenario) })).filter(
      ({ kind, scenario }) => kind !== 'clean' && isToBlame(subject.role, combination, scenario),
    ),
  );
  // Where everything else holds, a trace shows this protocol's fault and nobody else's.
  const alone = blamed.filter(({ combination }) =>
    othersInPlace(combination, subject.role).some((other) => findingsOf(other).size === 0),
  );
  return blamed.filter((one) => alone.includes(one) || !alone.some(({ kind }) => kind === one.kind));
}

function isToBlame(role: Role, combination: Combination, scenario: string): boolean {
  const goesWithout = (kind: Role): boolean =>
    othersInPlace(combination, kind).some((other) => verdictOf(other, scenario) === 'clean');
  return role === 'entry' ? !ROLES.some((kind) => kind !== 'entry' && goesWithout(kind)) : goesWithout(role);
}
