/**
 * Expected verdicts: one letter per scenario, in the order of SCENARIOS.
 *
 * They agree with the safety matrix of the protocols' reference, with these additions, each of which has a trace:
 * - refcount-2013, also with leakFix and validate: with two shrinkers the second to finish unlinks an entry that a trim has
 *   unlinked already (double unlink). The reference has it only for clients that break E1 and E2; its allocator kept two
 *   reclaimers off one page, and a shrinker per memcg list does not.
 * - remove-from-lru-on-fault is broken under pin-validate too: reclaim that has picked the page of a slot before a store pins
 *   it waits for that store, which waits for reclaim (fault-recursion-worker). The reference's trace needs an isolated entry.
 * - load-noreload loses the rest of the tree, too, when it grows over the lone entry that the walk found (fast-path-grow).
 * A verdict is the first kind that was found; a broken combination may have others.
 */
import { SIGNS } from '#src/cli/explore_matrix.js';
import { formatCombination } from '#src/explore/schedule/replay_string.js';
import { signature } from '#src/explore/search/dimensions.js';
import { allCombinations } from '#src/protocols/combinations.js';
import type { Combination } from '#src/protocols/index.js';

/** Kinds of findings by their letter. */
export const KINDS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(SIGNS).map(([kind, sign]) => [sign, kind]),
);

export const SCENARIOS: readonly string[] = (
  'leak stale-data recycled-slot duplicate-store load swapoff swapoff-late swapon swapoff-write swapoff-header ' +
  'swapoff-trim swapoff-slot-0 swapoff-keep swapoff-flush two-writebacks lru-skip second-chance fault-recursion fault-recursion-putback ' +
  'fault-recursion-worker busy-head fast-path fast-path-split fast-path-grow fast-path-reuse read-trim write-trim ' +
  'no-node image-error image-order rejected-store-error rejected-store slot-reuse resend-write resend-limit late-trim ' +
  'flush-twice flush-writeback rejected-torn swapoff-read'
).split(' ');

/** By combination, as in a replay string. One that is the same as another by a second name (pin-first) has its row from that. */
export const ROWS: Readonly<Record<string, string>> = {
  'refcount-2013+free-immediately+none+erase': 'LSLL.UUU...UU.LL.KKK........LLKK..K..XL.',
  'refcount-2013+free-immediately+none+erase+leakFix': '.S...UUU...UU.D..KKK.........SKK..K..XS.',
  'refcount-2013+free-immediately+none+erase+validate': 'LLLL.UUU...UU.LL.KKK........LLKK..K..LL.',
  'refcount-2013+free-immediately+none+erase+leakFix+validate': '.....UUU...UU.D..KKK..........KK..K.....',
  'refcount-2013+free-immediately+none+erase+strandPageOnAbort+validate': 'LKLL.UUU...UU.LL.KKK........KLKK..K..LL.',
  'refcount-2013+free-immediately+none+erase+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K..KKK........KPKK..K..PK.',
  'refcount-2013+free-immediately+none+empty-check': 'LSLL.UUU...UU.LL.KKK........LLKK..K..XL.',
  'refcount-2013+free-immediately+none+empty-check+leakFix': '.S...UUU...UU.D..KKK.........SKK..K..XS.',
  'refcount-2013+free-immediately+none+empty-check+validate': 'LLLL.UUU...UU.LL.KKK........LLKK..K..LL.',
  'refcount-2013+free-immediately+none+empty-check+leakFix+validate': '.....UUU...UU.D..KKK..........KK..K.....',
  'refcount-2013+free-immediately+none+empty-check+strandPageOnAbort+validate':
    'LKLL.UUU...UU.LL.KKK........KLKK..K..LL.',
  'refcount-2013+free-immediately+none+empty-check+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K..KKK........KPKK..K..PK.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase': 'LSLL.UUU...UU.LL..SK........LS.S.....XS.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase+leakFix': '.S...UUU...UU.D...SK.........S.S.....XS.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase+validate': 'LLLL.UUU...UU.LL..LK........LL.L.....LL.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase+leakFix+validate':
    '.....UUU...UU.D....K....................',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase+strandPageOnAbort+validate':
    'LKLL.UUU...UU.LL..LK........KL.L.....LK.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+erase+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K...PK........KP.P.....PK.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check': 'LSLL.UUU...UU.LL..SK........LS.S.....XS.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check+leakFix':
    '.S...UUU...UU.D...SK.........S.S.....XS.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check+validate':
    'LLLL.UUU...UU.LL..LK........LL.L.....LL.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check+leakFix+validate':
    '.....UUU...UU.D....K....................',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check+strandPageOnAbort+validate':
    'LKLL.UUU...UU.LL..LK........KL.L.....LK.',
  'refcount-2013+free-immediately+remove-from-lru-on-fault+empty-check+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K...PK........KP.P.....PK.',
  'refcount-2013+free-immediately+skip-eexist+erase': 'LSLL.UUU...UU.LL..SL........LL.L.....XL.',
  'refcount-2013+free-immediately+skip-eexist+erase+leakFix': '.S...UUU...UU.D...SS.........S.S.....XS.',
  'refcount-2013+free-immediately+skip-eexist+erase+validate': 'LLLL.UUU...UU.LL..LL........LL.L.....LL.',
  'refcount-2013+free-immediately+skip-eexist+erase+leakFix+validate': '.....UUU...UU.D.........................',
  'refcount-2013+free-immediately+skip-eexist+erase+strandPageOnAbort+validate':
    'LKLL.UUU...UU.LL..LL........LL.L.....LL.',
  'refcount-2013+free-immediately+skip-eexist+erase+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K...PP........PP.P.....PK.',
  'refcount-2013+free-immediately+skip-eexist+empty-check': 'LSLL.UUU...UU.LL..SL........LL.L.....XL.',
  'refcount-2013+free-immediately+skip-eexist+empty-check+leakFix': '.S...UUU...UU.D...SS.........S.S.....XS.',
  'refcount-2013+free-immediately+skip-eexist+empty-check+validate': 'LLLL.UUU...UU.LL..LL........LL.L.....LL.',
  'refcount-2013+free-immediately+skip-eexist+empty-check+leakFix+validate': '.....UUU...UU.D.........................',
  'refcount-2013+free-immediately+skip-eexist+empty-check+strandPageOnAbort+validate':
    'LKLL.UUU...UU.LL..LL........LL.L.....LL.',
  'refcount-2013+free-immediately+skip-eexist+empty-check+leakFix+strandPageOnAbort+validate':
    '.PPP.UUU...UU.K...PP........PP.P.....PK.',
  'cas-2013+free-immediately+none+erase': '.K.KKUKU...UU...KKKK........K.KK..K..K..',
  'cas-2013+free-immediately+none+empty-check': '.K.KKUKU...UU...KKKK........K.KK..K..K..',
  'cas-2013+free-immediately+remove-from-lru-on-fault+erase': '.K.KKUKU...UU...K..K........K........K..',
  'cas-2013+free-immediately+remove-from-lru-on-fault+empty-check': '.K.KKUKU...UU...K..K........K........K..',
  'cas-2013+free-immediately+skip-eexist+erase': '.K.K.UKU...UU...............K........K..',
  'cas-2013+free-immediately+skip-eexist+empty-check': '.K.K.UKU...UU...............K........K..',
  'refcount-lru-isolate+free-immediately+none+erase': '.....UUU...UU....KKK..........KK..K.....',
  'refcount-lru-isolate+free-immediately+none+empty-check': '.....UUU...UU....KKK..........KK..K.....',
  'refcount-lru-isolate+free-immediately+remove-from-lru-on-fault+erase': '.....UUU...UU.....KK....................',
  'refcount-lru-isolate+free-immediately+remove-from-lru-on-fault+empty-check':
    '.....UUU...UU.....KK....................',
  'refcount-lru-isolate+free-immediately+skip-eexist+erase': '.....UUU...UU...........................',
  'refcount-lru-isolate+free-immediately+skip-eexist+empty-check': '.....UUU...UU...........................',
  'refcount-lru-isolate+tree-refcount+none+erase': '.................KKK..........KK..K.....',
  'refcount-lru-isolate+tree-refcount+none+empty-check': '.................KKK..........KK..K.....',
  'refcount-lru-isolate+tree-refcount+remove-from-lru-on-fault+erase': '..................KK....................',
  'refcount-lru-isolate+tree-refcount+remove-from-lru-on-fault+empty-check': '..................KK....................',
  'refcount-lru-isolate+tree-refcount+skip-eexist+erase': '........................................',
  'refcount-lru-isolate+tree-refcount+skip-eexist+empty-check': '........................................',
  'refcount-lru-isolate+drain+none+erase': '.....UUU...UU....KKK..........KK..K.....',
  'refcount-lru-isolate+drain+none+empty-check': '.....UUU...UU....KKK..........KK..K.....',
  'refcount-lru-isolate+drain+remove-from-lru-on-fault+erase': '.....UUU...UU.....KK....................',
  'refcount-lru-isolate+drain+remove-from-lru-on-fault+empty-check': '.....UUU...UU.....KK....................',
  'refcount-lru-isolate+drain+skip-eexist+erase': '.....UUU...UU...........................',
  'refcount-lru-isolate+drain+skip-eexist+empty-check': '.....UUU...UU...........................',
  'refcount-lru-isolate+drain-early-ref+none+erase': '.................KKK..........KK..K.....',
  'refcount-lru-isolate+drain-early-ref+none+empty-check': '.................KKK..........KK..K.....',
  'refcount-lru-isolate+drain-early-ref+remove-from-lru-on-fault+erase': '..................KK....................',
  'refcount-lru-isolate+drain-early-ref+remove-from-lru-on-fault+empty-check':
    '..................KK....................',
  'refcount-lru-isolate+drain-early-ref+skip-eexist+erase': '........................................',
  'refcount-lru-isolate+drain-early-ref+skip-eexist+empty-check': '........................................',
  'pin-validate+free-immediately+none+erase': '.................KKK..........KK..K.....',
  'pin-validate+free-immediately+none+erase+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+free-immediately+none+empty-check': '.................KKK..........KK..K.....',
  'pin-validate+free-immediately+none+empty-check+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+free-immediately+none+load-noreload': '.................KKK.UUL......KK..K.....',
  'pin-validate+free-immediately+none+load-noreload+!eraseOnReject': '.................KKK.UUL.....SKK..K...S.',
  'pin-validate+free-immediately+none+load-reset': '.................KKK..........KK..K.....',
  'pin-validate+free-immediately+none+load-reset+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+free-immediately+none+load-reload': '.................KKK..........KK..K.....',
  'pin-validate+free-immediately+none+load-reload+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+free-immediately+remove-from-lru-on-fault+erase': '...................K....................',
  'pin-validate+free-immediately+remove-from-lru-on-fault+erase+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+remove-from-lru-on-fault+empty-check': '...................K....................',
  'pin-validate+free-immediately+remove-from-lru-on-fault+empty-check+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-noreload': '...................K.UUL................',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-noreload+!eraseOnReject':
    '.................SSS.UUL.....S.S..S...S.',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-reset': '...................K....................',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-reset+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-reload': '...................K....................',
  'pin-validate+free-immediately+remove-from-lru-on-fault+load-reload+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+skip-eexist+erase': '........................................',
  'pin-validate+free-immediately+skip-eexist+erase+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+skip-eexist+empty-check': '........................................',
  'pin-validate+free-immediately+skip-eexist+empty-check+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+skip-eexist+load-noreload': '.....................UUL................',
  'pin-validate+free-immediately+skip-eexist+load-noreload+!eraseOnReject': '.................SSS.UUL.....S.S..S...S.',
  'pin-validate+free-immediately+skip-eexist+load-reset': '........................................',
  'pin-validate+free-immediately+skip-eexist+load-reset+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+free-immediately+skip-eexist+load-reload': '........................................',
  'pin-validate+free-immediately+skip-eexist+load-reload+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+none+erase': '.................KKK..........KK..K.....',
  'pin-validate+tree-refcount+none+erase+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+tree-refcount+none+empty-check': '.................KKK..........KK..K.....',
  'pin-validate+tree-refcount+none+empty-check+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+tree-refcount+none+load-noreload': '.................KKK.UUL......KK..K.....',
  'pin-validate+tree-refcount+none+load-noreload+!eraseOnReject': '.................KKK.UUL.....SKK..K...S.',
  'pin-validate+tree-refcount+none+load-reset': '.................KKK..........KK..K.....',
  'pin-validate+tree-refcount+none+load-reset+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+tree-refcount+none+load-reload': '.................KKK..........KK..K.....',
  'pin-validate+tree-refcount+none+load-reload+!eraseOnReject': '.................KKK.........SKK..K...S.',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+erase': '...................K....................',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+erase+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+empty-check': '...................K....................',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+empty-check+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-noreload': '...................K.UUL................',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-noreload+!eraseOnReject':
    '.................SSS.UUL.....S.S..S...S.',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-reset': '...................K....................',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-reset+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-reload': '...................K....................',
  'pin-validate+tree-refcount+remove-from-lru-on-fault+load-reload+!eraseOnReject':
    '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+skip-eexist+erase': '........................................',
  'pin-validate+tree-refcount+skip-eexist+erase+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+skip-eexist+empty-check': '........................................',
  'pin-validate+tree-refcount+skip-eexist+empty-check+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+skip-eexist+load-noreload': '.....................UUL................',
  'pin-validate+tree-refcount+skip-eexist+load-noreload+!eraseOnReject': '.................SSS.UUL.....S.S..S...S.',
  'pin-validate+tree-refcount+skip-eexist+load-reset': '........................................',
  'pin-validate+tree-refcount+skip-eexist+load-reset+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'pin-validate+tree-refcount+skip-eexist+load-reload': '........................................',
  'pin-validate+tree-refcount+skip-eexist+load-reload+!eraseOnReject': '.................SSS.........S.S..S...S.',
  'refcount-2013+free-immediately+skip-eexist+erase+exclusiveBypass+leakFix+validate':
    '.....UUU...UU.D.........................',
  'refcount-2013+free-immediately+skip-eexist+erase+leakFix+slotReusableBeforeInvalidate+validate':
    '.....UUU..UUU.D...........U.....X.......',
  'refcount-2013+free-immediately+skip-eexist+erase+leakFix+lruSkipAfterUnlock+validate':
    '.....UUU...UU.D.........................',
  'refcount-2013+free-immediately+skip-eexist+erase+invalidateUnderDeviceLock+leakFix+validate':
    '.....UUU...UU.D.........................',
  'cas-2013+free-immediately+skip-eexist+erase+exclusiveBypass': '.K.K.UKU...UU...............K........K..',
  'cas-2013+free-immediately+skip-eexist+erase+slotReusableBeforeInvalidate':
    '.K.K.UKU..UUU.............U.K...X....K..',
  'cas-2013+free-immediately+skip-eexist+erase+lruSkipAfterUnlock': '.K.K.UKU...UU...............K........K..',
  'cas-2013+free-immediately+skip-eexist+erase+invalidateUnderDeviceLock': 'KKKK.UKU...UU.KK............K........K..',
  'refcount-lru-isolate+tree-refcount+skip-eexist+erase+exclusiveBypass': '.X..S....S......X.............SX........',
  'refcount-lru-isolate+tree-refcount+skip-eexist+erase+slotReusableBeforeInvalidate':
    '..........U...............L.....X.......',
  'refcount-lru-isolate+tree-refcount+skip-eexist+erase+lruSkipAfterUnlock': '...............U........................',
  'refcount-lru-isolate+tree-refcount+skip-eexist+erase+invalidateUnderDeviceLock':
    '........................................',
  'pin-validate+pin-first+skip-eexist+erase+exclusiveBypass': '.X..S....S......X.............SX........',
  'pin-validate+pin-first+skip-eexist+erase+slotReusableBeforeInvalidate': '..........U...............U.....X.......',
  'pin-validate+pin-first+skip-eexist+erase+lruSkipAfterUnlock': '...............U........................',
  'pin-validate+pin-first+skip-eexist+erase+invalidateUnderDeviceLock': '........................................',
  'pin-validate+pin-first+skip-eexist+erase+treeIndexing=absolute': '........................................',
  'pin-validate+pin-first+skip-eexist+empty-check+treeIndexing=absolute': '........................................',
  'pin-validate+pin-first+skip-eexist+load-noreload+treeIndexing=absolute': '.....................U.L................',
  'pin-validate+pin-first+skip-eexist+load-reset+treeIndexing=absolute': '........................................',
  'pin-validate+pin-first+skip-eexist+load-reload+treeIndexing=absolute': '........................................',
};

/** As far as anything of a combination that a run can look at goes. */
function wholeOf(combination: Combination): string {
  return signature(combination, -1);
}

/** The row of every combination; empty where there is none. */
export const EXPECTED: Readonly<Record<string, string>> = (() => {
  const named = allCombinations().map((combination) => ({ combination, name: formatCombination(combination) }));
  const written = named.filter(({ name }) => ROWS[name] !== undefined);
  const byWhole = new Map(written.map(({ combination, name }) => [wholeOf(combination), ROWS[name]]));
  return Object.fromEntries(named.map(({ combination, name }) => [name, byWhole.get(wholeOf(combination)) ?? '']));
})();

/** Clean with two preemptions, and found with three: who erases a slot that is in use again meets its reader. */
export const TAKES_THREE: Readonly<Record<string, readonly string[]>> = {
  'pin-validate+pin-first+skip-eexist+erase+slotReusableBeforeInvalidate': ['read-trim'],
};
