// Two lanes store, load and trim random slots while the shrinker writes back, compacts and gives memory back, and the main
// thread makes memcgs, moves exports between them and their limits, and takes them offline. Each load
// must see the last version that its slot acknowledged, and at the end nothing may be left behind. Each thing that the
// threads are there for (support/stress.ts, WANTED) has to have happened, compaction and memory given back among them.
//
// ZSWAPD_LONG=1 runs a minute instead of five seconds; ZSWAPD_SEED chooses what the threads do (not how they interleave).
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import type { AllocatorName } from '#src/pool/allocator/index.js';
import { disagreements } from '#src/pool/check.js';
import { createShared } from '#src/pool/shared.js';
import { type Combination, chooseProtocols } from '#src/protocols/index.js';
import * as sync from '#src/shm/sync.js';
import { Zswap } from '#src/zswap/zswap.js';
import { MemcgChurn } from '../support/memcg_churn.ts';
import { checkEmpty, checkLists, checkNow, held, MIB, NEWEST, pinned, poolSettings } from '../support/pool.ts';
import { answerOf } from '../support/pool_threads.ts';
import { type Done, EXPORTS, pageAt, type StressData, WANTED } from '../support/stress.ts';

const long = process.env.ZSWAPD_LONG === '1';
const SECONDS = long ? 60 : 5;
/** The invalidate protocols that hold; load-noreload is broken on purpose. */
const SAFE: readonly Combination['invalidate'][] = ['erase', 'empty-check', 'load-reset', 'load-reload'];
const SEED = Number(process.env.ZSWAPD_SEED ?? Date.now() % 2 ** 31);
const SLOTS = 400;
t.setTimeout(150_000);

const settingsOf = (allocator: AllocatorName) =>
  poolSettings({
    allocator,
    poolBytes: MIB,
    acceptBytes: 0.9 * MIB,
    heuristic: 'second-chance',
    buffers: 8,
    exports: Array.from({ length: EXPORTS }, (_, x) => ({ name: `${x}`, pages: SLOTS, memcg: x })),
    memcgs: [
      { name: 'a/0', max: Number.POSITIVE_INFINITY, writeback: true },
      { name: 'b/0', max: Number.POSITIVE_INFINITY, writeback: true },
      { name: 'b', max: 300_000, writeback: true },
    ],
  });

/** As of 6.4, but that no thread waits for another's pin: the lanes of this test have no pages that say they are filled. */
const BY_PAGES: Combination = {
  ...{ entry: 'refcount-2013', swapoff: 'free-immediately', busy: 'skip-eexist', invalidate: 'erase' },
  ...{ leakFix: true, validate: true, lru: 'allocator' },
};

const CASES: readonly { readonly protocols: Combination; readonly allocator: AllocatorName }[] = [
  ...SAFE.map((invalidate) => ({ protocols: { ...NEWEST, invalidate }, allocator: 'zsmalloc' as const })),
  ...(['zbud', 'z3fold'] as const).flatMap((allocator) =>
    [NEWEST, BY_PAGES].map((protocols) => ({ protocols, allocator })),
  ),
];

for (const { protocols, allocator } of CASES) {
  const { entry, invalidate, lru = 'entries' } = protocols;
  t.test(
    `with ${entry}, ${invalidate} and ${allocator}, lru ${lru}, every load sees the last acknowledged page`,
    { timeout: 60_000 },
    async (t) => {
      // Only zsmalloc moves objects from page to page, and reclaim by pages passes none by.
      const never = [...(allocator === 'zsmalloc' ? [] : ['compacted']), ...(lru === 'entries' ? [] : ['ROTATED'])];
      const wanted = WANTED.filter((what) => !never.includes(what));
      const data = {
        shared: createShared({ ...settingsOf(allocator), listsPages: lru === 'allocator' }),
        protocols,
        seed: SEED,
        slots: SLOTS,
        stop: new Int32Array(new SharedArrayBuffer(8)),
        versions: new Int32Array(new SharedArrayBuffer(4 * EXPORTS * SLOTS)),
        image: new Uint8Array(new SharedArrayBuffer(4096 * EXPORTS * SLOTS)),
        seen: new Int32Array(new SharedArrayBuffer(4 * WANTED.length)),
      };
      for (const [i, what] of WANTED.entries()) if (!wanted.includes(what)) data.seen[i] = 1;
      const done = await run(data);
      t.comment(JSON.stringify(done));
      for (const what of wanted) t.ok(done[what] > 0, what);
      t.ok(done.offline > 0, 'memcgs went offline');
      t.ok(done.most <= 300_000 + 4096, `${done.most} bytes were charged to b`);
      checkEnd(t, data);
    },
  );
}

type Data = Omit<StressData, 'role' | 'thread'>;

/** Runs the threads for their time; when one fails the others stop at once, and the error names the seed. */
async function run(data: Data): Promise<Done> {
  const roles: [StressData['role'], number][] = [
    ['shrinker', 1],
    ['lane', 2],
    ['lane', 3],
  ];
  const threads = roles.map(([role, thread]) => {
    const workerData: StressData = { ...data, role, thread };
    return answerOf<Done>(new Worker(new URL('../support/stress_worker.js', import.meta.url), { workerData }));
  });
  const [shrinker, ...lanes] = threads;
  const stopAt = (word: number): void => sync.store(data.stop, word, 1);
  // At least their share of the time, and until everything wanted has happened: a busy machine needs longer for that.
  const [least, most] = [(SECONDS * 1000) / CASES.length, 50_000];
  const started = performance.now();
  const churn = new MemcgChurn(data.shared, data.seed);
  const churning = setInterval(() => churn.turn(), 2);
  const timer = setInterval(() => {
    const ran = performance.now() - started;
    if ((ran >= least && data.seen.every((word) => word === 1)) || ran >= most) stopAt(0);
  }, 50);
  const failures: Error[] = [];
  for (const thread of threads) {
    thread.catch((error: Error) => {
      failures.push(error);
      stopAt(0);
      stopAt(1);
    });
  }
  // Lanes may wait for image writes, so the shrinker ends after them.
  const lanesEnded = await Promise.allSettled(lanes);
  clearInterval(timer);
  clearInterval(churning);
  stopAt(1);
  const ended = [...lanesEnded, ...(await Promise.allSettled([shrinker]))];
  if (failures.length > 0) {
    const rerun = `ZSWAPD_SEED=${SEED}${long ? ' ZSWAPD_LONG=1' : ''} node dist/test/zswap/stress.test.js`;
    throw new Error(`${failures[0].message}; again: ${rerun}`, { cause: failures[0] });
  }
  const sum: Done = { offline: churn.offline, most: churn.most };
  for (const end of ended) {
    if (end.status === 'rejected') continue;
    for (const [what, count] of Object.entries(end.value)) sum[what] = (sum[what] ?? 0) + count;
  }
  return sum;
}

/** All slots once more, with nobody else about; then everything is trimmed. */
function checkEnd(t: Test, data: Data): void {
  const z = new Zswap(data.shared, chooseProtocols(data.protocols), 2);
  checkLists(data.shared);
  const counted = held(data.shared);
  t.equal(counted.stored, counted.entries, 'stored_pages counts the entries');
  t.equal(counted.bytes, counted.charged, 'compressed_bytes is what memcgs are charged');
  t.equal(counted.linked, counted.entries - counted.sameFilled);
  const check = checkNow(data.shared);
  t.strictSame(
    check === null ? null : disagreements(check, data.shared.settings),
    [],
    'what memcgs are charged is what they have',
  );
  t.equal(counted.records, 0, 'no record is left without a pin or a page');
  const page = new Uint8Array(4096);
  const wrong: number[] = [];
  for (let at = 0; at < EXPORTS * SLOTS; at++) {
    const [x, slot, version] = [Math.floor(at / SLOTS), at % SLOTS, data.versions[at]];
    const result = pinned(z, x, slot, (r) => z.load(r, x, slot, page, 0));
    const got = result === 0 ? page : data.image.subarray(at * 4096, at * 4096 + 4096);
    if (version > 0 && !Buffer.from(got).equals(pageAt(at, version))) wrong.push(at);
    z.invalidate(x, slot);
  }
  t.strictSame(wrong, []);
  checkEmpty(t, data.shared);
}
