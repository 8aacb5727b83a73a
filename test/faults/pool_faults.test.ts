// The faults of the pool: what a store makes of them, and that what is flipped is never read as data.

import t from 'tap';
import { Gate } from '#src/faults/gate.js';
import type { FaultRule } from '#src/faults/rules.js';
import { createTable } from '#src/faults/table.js';
import { steadyMillis } from '#src/os/clock.js';
import { rowOf } from '#src/shm/counters.js';
import { C } from '#src/zswap/counters.js';
import { LOAD_FAILED, LOADED, ON_IMAGE } from '#src/zswap/loads.js';
import { InjectedFaults } from '#src/zswap/pool_faults.js';
import { REJECTED, STORED } from '#src/zswap/store.js';
import { makePage, newZswap, put, type TestZswap, take } from '../support/pool.ts';

function inject(z: TestZswap, site: FaultRule['site'], action: string, times = -1): void {
  const rule: FaultRule = {
    id: 'f',
    site,
    action,
    class: 'must-detect',
    match: { x: null, memcg: null, slots: null, connection: null, command: null, age: null },
    when: { probability: 100, interval: 1, times, space: 0, nth: null },
    verbose: 0,
    at: 0,
    for: null,
    with: {},
  };
  const table = createTable(steadyMillis());
  z.faults = new InjectedFaults(new Gate({ plan: { seed: 1, digest: '', faults: [rule] }, table }, () => true), z);
}

t.test('stores that fail are rejected, and counted as what they are', async (t) => {
  const cases = [
    ['pool.allocate', 'fail', 'reject_alloc_fail'],
    ['pool.compress', 'fail', 'reject_compress_fail'],
    ['pool.compress', 'poor', 'reject_compress_poor'],
  ] as const;
  for (const [site, action, counter] of cases) {
    const z = newZswap({ checksums: true, storeIncompressible: false });
    inject(z, site, action);
    t.equal(put(z, 1, makePage('text', 1)), REJECTED);
    t.equal(rowOf(z.shared.counters, z.thread)[C[counter]], 1, counter);
    z.faults = null;
    t.equal(put(z, 1, makePage('text', 1)), STORED);
    t.equal(take(z, 1).result, LOADED);
  }
});

t.test('a page that was made poor is stored raw as itself where that is wanted', async (t) => {
  const z = newZswap({ checksums: true, storeIncompressible: true });
  inject(z, 'pool.compress', 'poor');
  t.equal(put(z, 1, makePage('text', 1)), STORED);
  t.strictSame(take(z, 1), { result: LOADED, page: makePage('text', 1) });
});

t.test('an error of decompression is for one look', async (t) => {
  const z = newZswap({ checksums: true });
  put(z, 1, makePage('text', 1));
  inject(z, 'pool.decompress', 'error', 1);
  t.equal(take(z, 1).result, LOAD_FAILED);
  t.strictSame(take(z, 1), { result: LOADED, page: makePage('text', 1) });
});

t.test('flipped bits are never read as data, whatever the page is stored as', async (t) => {
  const same = new Uint8Array(new Uint32Array(1024).fill(7).buffer);
  for (const site of ['pool.object', 'pool.entry'] as const) {
    const z = newZswap({ checksums: true, storeIncompressible: true });
    inject(z, site, 'flip');
    for (let slot = 0; slot < 60; slot++) {
      const page = slot % 3 === 0 ? makePage('text', slot) : slot % 3 === 1 ? makePage('random', slot) : same;
      put(z, slot, page);
      const found = take(z, slot);
      // A word has no object to flip.
      const untouched = slot % 3 === 2 && site === 'pool.object';
      t.equal(found.result, untouched ? LOADED : LOAD_FAILED, `${site} ${slot}`);
    }
    z.faults = null;
    for (let slot = 0; slot < 60; slot++) z.invalidate(0, slot);
  }
});

t.test('a tree that leads past an entry makes a READ look at the image, and that is noticed there', async (t) => {
  const z = newZswap({ checksums: true });
  const page = makePage('text', 1);
  put(z, 1, page);
  inject(z, 'pool.tree', 'flip', 1);
  t.equal(take(z, 1).result, ON_IMAGE);
  t.equal(take(z, 1).result, ON_IMAGE, 'it is not there for whoever comes again before it has read the image');
  t.notOk(z.agrees(0, 1, makePage('text', 2), 0));
  t.equal(take(z, 1).result, LOAD_FAILED, 'nobody knows what the slot holds');
  put(z, 1, page);
  t.equal(take(z, 1).result, LOADED);
});

t.test('an entry is hidden no longer than its page is what the slot holds', async (t) => {
  const z = newZswap({ checksums: true });
  put(z, 1, makePage('text', 1));
  inject(z, 'pool.tree', 'flip', 1);
  t.equal(take(z, 1).result, ON_IMAGE);
  // Its READ is given up before it has read the image.
  put(z, 1, makePage('text', 2));
  t.strictSame(take(z, 1), { result: LOADED, page: makePage('text', 2) });
  t.equal(take(z, 1).result, LOADED);
});
