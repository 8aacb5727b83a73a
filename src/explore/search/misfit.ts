/**
 * Which scenarios a combination of protocols can't have: where the race of a scenario needs what its entry protocol does
 * not do, "clean" would say nothing, and what is found is another scenario's. A matrix explores those cells all the same.
 */
import type { EntryFacts } from '../../protocols/declaration.ts';
import { type Combination, PROTOCOLS } from '../../protocols/index.ts';
import { PAGE_SCENARIOS } from '../scenarios/scenarios_pages.ts';

/** What reclaim by pages does not do: walk the list of a memcg, give second chances, shrink at the limit of one. */
const OF_LISTS = /^(lru-skip|second-chance|busy-head|fault-recursion.*)$/;

interface Misfit {
  readonly scenarios: RegExp;
  readonly fits: (facts: EntryFacts) => boolean;
  /** `entry`: the protocol that it does not fit. */
  readonly why: (entry: string, allowed: string) => string;
}

const MISFITS: readonly Misfit[] = [
  {
    scenarios: /^fast-path(-|$)/,
    fits: ({ freesErased }) => freesErased,
    why: (_entry, allowed) =>
      `its race needs an invalidate protocol that walks without the lock, which only ${allowed} takes`,
  },
  {
    scenarios: /^swapoff-late$/,
    fits: ({ pinsFirst }) => !pinsFirst,
    why: (entry) => `${entry} touches nothing after its pin, so there is no late window`,
  },
  {
    scenarios: /^fault-recursion-putback$/,
    fits: ({ isolates }) => isolates,
    why: (_entry, allowed) =>
      `its race needs a page that is taken off the list and put back, which only ${allowed} does`,
  },
];

/** Why the scenario does not fit, and which entry protocols it does fit; or null. */
export function misfit(scenario: string, { entry, lru = 'entries' }: Combination): string | null {
  if (PAGE_SCENARIOS.some(({ name }) => name === scenario) && lru !== 'allocator') {
    return `"${scenario}" does not fit protocol.lru "${lru}": its race is one of reclaim by pages, allowed: "allocator"`;
  }
  if (OF_LISTS.test(scenario) && lru !== 'entries') {
    return `"${scenario}" does not fit protocol.lru "${lru}": its race is one of lists of memcgs, allowed: "entries"`;
  }
  const { facts } = PROTOCOLS.entry[entry].declaration;
  const found = MISFITS.find(({ scenarios, fits }) => scenarios.test(scenario) && !fits(facts));
  if (found === undefined) return null;
  const names = Object.values(PROTOCOLS.entry)
    .filter(({ declaration }) => found.fits(declaration.facts))
    .map(({ name }) => name);
  const allowed = names.map((name) => `"${name}"`).join(', ');
  return `"${scenario}" does not fit protocol.entry "${entry}": ${found.why(entry, names.join(', '))}, allowed: ${allowed}`;
}
