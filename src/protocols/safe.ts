/** The combinations that hold: every choice that has a meaning and no known weakness. Tests and benchmarks go through them. */
import { broken, choiceOf, DEFAULT_CHOICE, meaningless } from './combinations.ts';
import {
  BUSY_PROTOCOLS,
  ENTRY_PROTOCOLS,
  INVALIDATE_PROTOCOLS,
  type ProtocolNames,
  SWAPOFF_PROTOCOLS,
} from './index.ts';

export type Combination = Pick<ProtocolNames, 'entry' | 'swapoff' | 'busy' | 'invalidate'>;

/** Every choice of four protocols that has a meaning. */
export function meaningfulCombinations(): Combination[] {
  const namesOf = <T extends object>(protocols: T) => Object.keys(protocols) as (keyof T)[];
  return namesOf(ENTRY_PROTOCOLS)
    .flatMap((entry) =>
      namesOf(SWAPOFF_PROTOCOLS).flatMap((swapoff) =>
        namesOf(BUSY_PROTOCOLS).flatMap((busy) =>
          namesOf(INVALIDATE_PROTOCOLS).map((invalidate) => ({ entry, swapoff, busy, invalidate })),
        ),
      ),
    )
    .filter((one) => meaningless(choiceOf(one)).length === 0);
}

/** The default comes first. */
export function safeCombinations(): Combination[] {
  return meaningfulCombinations()
    .filter((one) => broken(choiceOf(one)).length === 0)
    .sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
}

function isDefault(one: Combination): boolean {
  return (Object.keys(one) as (keyof Combination)[]).every((key) => one[key] === DEFAULT_CHOICE[key]);
}

/** As settings of a config. */
export function settingsOf(one: Combination): string[] {
  return Object.entries(one).map(([key, value]) => `protocol.${key}=${value}`);
}
