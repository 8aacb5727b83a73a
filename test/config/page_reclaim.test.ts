// protocol.lru, with what it goes with: allocators, entry protocols, and what came after it.
import t from 'tap';
import { ConfigError, loadConfigText } from '#src/config/load.js';
import type { Config } from '#src/config/schema.js';

const load = (options: object): Config =>
  loadConfigText('c.jsonc', JSON.stringify({ unsafe: true, ...options })).config;

function refusal(options: object): string {
  try {
    load(options);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
  return '';
}

const PAGES = { entry: 'refcount-2013', swapoff: 'free-immediately', lru: 'allocator' };

t.test('presets to 6.4 reclaim by pages of zbud, and later ones by lists of entries in zsmalloc', async (t) => {
  for (const preset of ['v3.12', 'v3.13', 'v6.4']) {
    const { protocol, pool, shrinker } = load({ protocol: { preset } });
    t.same([protocol.lru, pool.allocator], ['allocator', 'zbud']);
    t.equal(shrinker.reclaimer, preset === 'v6.4' ? 'worker' : 'store');
    t.equal(load({ protocol: { preset }, pool: { allocator: 'z3fold' } }).pool.allocator, 'z3fold');
    t.equal(load({ protocol: { preset }, shrinker: { reclaimer: 'worker' } }).shrinker.reclaimer, 'worker');
  }
  for (const preset of ['v6.8', 'v6.9', 'v6.13']) {
    const { protocol, pool, shrinker } = load({ protocol: { preset } });
    t.same([protocol.lru, pool.allocator, shrinker.reclaimer], ['entries', 'zsmalloc', 'worker']);
  }
});

t.test('what keeps no list of pages is refused, and what begins at entries', async (t) => {
  t.match(
    refusal({ protocol: PAGES }),
    /pool\.allocator: "zsmalloc" has no list of pages for protocol\.lru "allocator", allowed: "zbud" or "z3fold"/,
  );
  t.match(
    refusal({ protocol: { lru: 'allocator' }, pool: { allocator: 'zbud' } }),
    /protocol\.lru: "allocator" .* pin-validate begins at an entry of a list, allowed: "entries", or protocol\.entry "refcount-2013", "cas-2013"/,
  );
  t.match(
    refusal({ protocol: { ...PAGES, busy: 'remove-from-lru-on-fault' }, pool: { allocator: 'zbud' } }),
    /protocol\.busy: "remove-from-lru-on-fault" takes entries off a list .* allowed: "none", "skip-eexist"/,
  );
  t.match(
    refusal({ protocol: { preset: 'v6.4', lru: 'entries' } }),
    /protocol\.lru: "entries" contradicts protocol\.preset/,
  );
});

t.test('what came later is refused with it', async (t) => {
  const base = { protocol: PAGES, pool: { allocator: 'z3fold' } };
  t.equal(refusal(base), '');
  t.match(
    refusal({ ...base, shrinker: { enabled: true } }),
    /shrinker\.enabled: writes back the coldest of each memcg/,
  );
  t.match(
    refusal({ ...base, pool: { ...base.pool, incompressible: 'store' } }),
    /pool\.incompressible: "store" .* allowed: "reject", or protocol\.lru "entries"/,
  );
  t.match(
    refusal({ shrinker: { reclaimer: 'store' } }),
    /shrinker\.reclaimer: "store" .* allowed: "worker", or protocol\.lru/,
  );
});

t.test('the faults of z3fold need unsafe where they are asked for', async (t) => {
  const options = { protocol: { ...PAGES, earlyReference: true, placeByChunks: true }, pool: { allocator: 'z3fold' } };
  t.match(refusal({ ...options, unsafe: false }), /allowed: only with unsafe: true/);
  t.equal(refusal(options), '');
  t.equal(refusal({ protocol: { earlyReference: true }, unsafe: false }), '', 'and do nothing with lists of entries');
});
