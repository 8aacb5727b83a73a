/** Mutants of writeback by name: what was seen without a lock has to be asked again under that of its list. */
import type { Mutant } from './mutant.ts';

const P3 = 'refcount-lru-isolate+tree-refcount+skip-eexist+erase';
const P4 = 'pin-validate+pin-first+skip-eexist+erase';

export const DEMAND_MUTANTS: readonly Mutant[] = [
  {
    name: 'by name: an entry that is in the hands of another writeback is taken',
    file: 'protocols/entry/victim.js',
    from: 'lru.linked(pool.lru, entries, m, e) && ',
    to: '',
    scenario: 'demand-walker',
    combination: P3,
  },
  {
    name: 'by name: an entry is taken off a list that it has left',
    file: 'protocols/entry/victim.js',
    from: ' && lru.belongs(pool.lru, entries, m, e)',
    to: '',
    scenario: 'demand-offline',
    combination: P4,
  },
  {
    name: 'by name: whether it is linked is asked while entries come and go',
    file: 'protocols/entry/victim.js',
    from: `    lockLives(entries);
    const alive`,
    to: `    const unlockLives = () => undefined;
    const alive`,
    scenario: 'demand-offline',
    combination: P4,
  },
];
