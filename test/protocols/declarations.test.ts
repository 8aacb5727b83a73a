// What entry protocols declare about themselves, because their partners and the refusals go by it, is what they do.
import t from 'tap';
import { USUAL } from '#src/protocols/combinations.js';
import { PROTOCOLS, SWITCHES } from '#src/protocols/index.js';
import { SHRINK, type SwapoffProtocol } from '#src/protocols/protocol.js';
import * as sync from '#src/shm/sync.js';
import { pair, shrink } from '../support/interleave.ts';
import { makePage, memoryImage, put, TestZswap } from '../support/pool.ts';

/** One writeback under the protocol's usual combination, and what it did on the way. */
function writeBack(name: keyof typeof USUAL) {
  const { lane, shrinker } = pair(USUAL[name]);
  const { protocols, shared } = shrinker;
  const seen = { asked: false, unlinked: false, treeBeforePin: false };
  let pinned = false;
  const swapoff: SwapoffProtocol = {
    ...protocols.swapoff,
    hold: (...args) => {
      seen.asked = true;
      return protocols.swapoff.hold(...args);
    },
  };
  const busy = {
    ...protocols.busy,
    pin: (...args: Parameters<typeof protocols.busy.pin>) => {
      pinned = true;
      return protocols.busy.pin(...args);
    },
  };
  const watched = new TestZswap(shared, { ...protocols, swapoff, busy }, shrinker.thread);
  memoryImage(watched);
  put(lane, 1, makePage('text', 1));
  sync.setHook({
    point: () => {
      if (!pinned && shared.lru.count[1] === 0) seen.unlinked = true;
    },
    lock: (words, index) => {
      if (!pinned && words === shared.trees.words) seen.treeBeforePin = true;
      words[index] = 1;
    },
    tryLock: (words, index) => {
      if (words[index] !== 0) return false;
      words[index] = 1;
      return true;
    },
    unlock: (words, index) => {
      words[index] = 0;
    },
    retry: () => {
      throw new Error('waits');
    },
  });
  try {
    if (shrink(watched) !== SHRINK.WRITTEN) throw new Error(`${name} has written nothing`);
  } finally {
    sync.setHook(null);
  }
  return seen;
}

for (const { name, declaration } of Object.values(PROTOCOLS.entry)) {
  t.test(`${name} does what it declares`, async (t) => {
    const { asksForTree, pinsFirst, isolates } = declaration.facts;
    const seen = writeBack(name);
    t.equal(seen.asked, asksForTree, 'asks swapoff for the tree');
    t.equal(seen.treeBeforePin, !pinsFirst, 'looks at a tree before it has a pin');
    t.equal(seen.unlinked, isolates, 'takes its victim off the list');
  });
}

t.test('a switch has one owner', async (t) => {
  const names = SWITCHES.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
});
