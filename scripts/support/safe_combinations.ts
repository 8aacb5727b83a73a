/** The combinations that hold, which tests and benchmarks go through: every one that has a meaning and no known weakness. */
import { broken, meaningfulCombinations } from '#src/protocols/combinations.js';
import { type Combination, ROLES } from '#src/protocols/index.js';
import { DEFAULT_COMBINATION } from '#src/protocols/presets.js';

/** The default comes first. */
export function safeCombinations(): Combination[] {
  return meaningfulCombinations()
    .filter((one) => broken(one).length === 0)
    .sort((a, b) => Number(isDefault(b)) - Number(isDefault(a)));
}

function isDefault(one: Combination): boolean {
  return ROLES.every((kind) => one[kind] === DEFAULT_COMBINATION[kind]);
}

/** As settings of a config. */
export function settingsOf(one: Combination): string[] {
  return ROLES.map((kind) => `protocol.${kind}=${one[kind]}`);
}
