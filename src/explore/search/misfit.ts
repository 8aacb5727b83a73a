/**
 * Which scenarios a combination of protocols can't have: where the race of a scenario needs what its entry protocol does
 * not do, "clean" would say nothing, and what is found is another scenario's. A matrix explores those cells all the same.
 */
import type { Combination } from './combinations.ts';

interface Misfit {
  readonly scenarios: RegExp;
  readonly fits: (entry: Combination['entry']) => boolean;
  readonly why: string;
  readonly allowed: string;
}

const MISFITS: readonly Misfit[] = [
  {
    scenarios: /^fast-path(-|$)/,
    fits: (entry) => entry === 'pin-validate',
    why: 'its race needs an invalidate protocol that walks without the lock, which only pin-validate takes',
    allowed: '"pin-validate"',
  },
  {
    scenarios: /^swapoff-late$/,
    fits: (entry) => entry !== 'pin-validate',
    why: 'pin-validate touches nothing after its pin, so there is no late window',
    allowed: '"refcount-2013", "cas-2013", "refcount-lru-isolate"',
  },
  {
    scenarios: /^fault-recursion-putback$/,
    fits: (entry) => entry === 'refcount-lru-isolate',
    why: 'its race needs a page that is taken off the list and put back, which only refcount-lru-isolate does',
    allowed: '"refcount-lru-isolate"',
  },
];

/** Why the scenario does not fit, and which entry protocols it does fit; or null. */
export function misfit(scenario: string, { entry }: Combination): string | null {
  const found = MISFITS.find(({ scenarios, fits }) => scenarios.test(scenario) && !fits(entry));
  if (found === undefined) return null;
  return `"${scenario}" does not fit protocol.entry "${entry}": ${found.why}, allowed: ${found.allowed}`;
}
