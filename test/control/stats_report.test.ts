// What GET /stats says of exports and memcgs: sums that are kept, not counted for the answer.
import t from 'tap';
import type { Config } from '#src/config/schema.js';
import { statsReport } from '#src/control/stats_report.js';
import { setBit } from '#src/pool/bits.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import type { Shared } from '#src/pool/shared.js';
import { SHOWN } from '#src/server/counters.js';
import { makePage, newZswap, put, take } from '../support/pool.ts';

const EXPORTS = ['a', 'b'].map((name) => ({ name, pages: 65_536, memcg: 0 }));
const config = {
  durability: 'volatile',
  protocol: {},
  exports: EXPORTS.map(() => ({ size: 2 ** 28 })),
} as unknown as Config;

const PROCESS = {
  version: '0',
  startedMs: 0,
  droppedLines: 0,
  care: {},
  supervisor: null,
  agents: { where: { unix: null, tcp: null }, report: () => null },
};

const exportsOf = (shared: Shared): unknown =>
  (statsReport(shared, SHOWN, config, PROCESS) as { exports: unknown }).exports;

t.test('pages in use and lost are told without a look at the bits of every slot', async (t) => {
  const z = newZswap({ exports: EXPORTS });
  for (const slot of [0, 31, 32, 65_535]) put(z, slot, makePage('text', slot), 1);
  setBit(z.shared.lost, 1, 32);
  z.invalidate(1, 31);
  const unread = new Proxy([] as Int32Array[], {
    get: (_, key) => {
      throw new Error(`the words are read: ${String(key)}`);
    },
  });
  const { users, lost } = z.shared;
  const shared = { ...z.shared, users: { ...users, words: unread }, lost: { ...lost, words: unread } };
  t.match(exportsOf(shared), [
    { name: 'a', used_pages: 0, lost_pages: 0 },
    { name: 'b', used_pages: 3, lost_pages: 1 },
  ]);
});

t.test('an export in the root is counted there, in the units of memory.stat', async (t) => {
  const memcgs = [
    { name: '/', max: Number.POSITIVE_INFINITY, writeback: true },
    { name: 'g', max: Number.POSITIVE_INFINITY, writeback: true },
  ];
  const z = newZswap({ memcgs, exports: EXPORTS.map((one, x) => ({ ...one, memcg: x })) });
  put(z, 1, makePage('text', 1), 0);
  put(z, 2, makePage('same', 2), 0);
  put(z, 1, makePage('random', 1), 1);
  take(z, 1);
  const all = z.lru.charged[0] + 4096;
  t.match((statsReport(z.shared, SHOWN, config, PROCESS) as { memcgs: unknown }).memcgs, [
    { name: '/', 'zswap.current': all, lru_pages: 1, zswapped: 3 * 4096, zswap_incomp: 4096, zswpin: 1, zswpout: 3 },
    { name: 'g', 'zswap.current': 4096, lru_pages: 1, zswapped: 4096, zswap_incomp: 4096, zswpin: 0, zswpout: 1 },
  ]);
});

t.test('of very many memcgs those are shown that can have pages, and it is said how many are not', async (t) => {
  const z = newZswap({
    memcgs: [{ name: 'first', max: Number.POSITIVE_INFINITY, writeback: true }],
    exports: EXPORTS,
  });
  const tree = new MemcgTree(z.shared, THREAD_MAIN);
  for (let i = 0; i < 3000; i++) {
    tree.create(`m${i}`);
    tree.setMax(`m${i}`, 2 ** 20);
  }
  tree.attach(1, 'm2999');
  const report = statsReport(z.shared, SHOWN, config, PROCESS) as {
    memcgs: { name: string }[];
    memcgs_left_out: number;
  };
  const names = report.memcgs.map(({ name }) => name);
  t.equal(names.length, 1024);
  t.equal(report.memcgs_left_out, 3001 - 1024);
  t.strictSame([names[0], names[1], names.at(-1)], ['first', 'm0', 'm2999'], 'in their order');
});
