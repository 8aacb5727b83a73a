// Which memcgs can have pages: found without a look at those that can't, of which there may be 65,000.
import t from 'tap';
import { MEMCGS_MAX, THREAD_MAIN } from '#src/pool/limits.js';
import { createMemcgs, hasHomes, isHome, type Memcgs, makeHome, nextHome, onlineRows, TABLE } from '#src/pool/memcg.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { newZswap } from '../support/pool.ts';
import { randoms } from '../support/stress.ts';

const EXPORTS = 3;
const FREE = { max: Number.POSITIVE_INFINITY, writeback: true };

function several() {
  const z = newZswap({
    memcgs: [{ name: 'a', ...FREE }],
    exports: Array.from({ length: EXPORTS }, (_, x) => ({ name: `e${x}`, pages: 64, memcg: 0 })),
  });
  return { z, tree: new MemcgTree(z.shared, THREAD_MAIN) };
}

const ofExports = (t: Memcgs, m: number): boolean => [0, 1, 2].some((x) => isHome(t, m, x));

t.test('memcgs with homes come in the order of rows, from any row on, through a random life', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = randoms(seed);
    const { z, tree } = several();
    const { memcgs } = z;
    let names = ['a'];
    for (let i = 0; i < 300; i++) {
      const name = names[random(names.length)];
      const what = random(4);
      if (what < 2) {
        tree.create(`m${i}`);
        names.push(`m${i}`);
      } else if (what < 3) tree.attach(random(EXPORTS), name);
      else if (name !== 'a' && ![0, 1, 2].some((x) => memcgs.ofExport[x] === tree.lookup(name))) {
        tree.offline(name);
        names = names.filter((one) => one !== name);
      }
      const rows = onlineRows(memcgs);
      const homes = rows.filter((m) => ofExports(memcgs, m));
      for (let from = 0; from <= memcgs.control[TABLE.END] + 40; from++) {
        const next = homes.find((m) => m >= from) ?? homes[0] ?? 0;
        if (nextHome(memcgs, from) !== next) throw new Error(`seed ${seed}, step ${i}, from ${from}`);
      }
      if (rows.some((m) => hasHomes(memcgs, m) !== ofExports(memcgs, m))) throw new Error(`seed ${seed}, step ${i}`);
      if (homes.length !== memcgs.control[TABLE.HOMES]) throw new Error(`seed ${seed}, step ${i}: ${homes.length}`);
    }
  }
});

t.test('in a full table the next one is found within a look at 32 rows each', async (t) => {
  const table = createMemcgs(MEMCGS_MAX, 1);
  table.control[TABLE.END] = MEMCGS_MAX;
  for (const m of [0, 31, 32, 5000, MEMCGS_MAX - 1]) makeHome(table, m, 255);
  let looks = 0;
  const counted = Object.fromEntries(
    Object.entries(table).map(([name, column]) => [
      name,
      typeof column === 'number'
        ? column
        : new Proxy(column, {
            get(target, key) {
              if (typeof key === 'string' && /^\d+$/.test(key)) looks++;
              return Reflect.get(target, key, target);
            },
          }),
    ]),
  ) as unknown as Memcgs;
  const found: number[] = [];
  for (let from = 0; found.length < 6; from = (found.at(-1) as number) + 1) {
    looks = 0;
    found.push(nextHome(counted, from));
    if (looks > MEMCGS_MAX / 32 + 10) throw new Error(`${looks} looks`);
  }
  t.strictSame(found, [0, 31, 32, 5000, MEMCGS_MAX - 1, 0]);
});

t.test('without any home it is the root', async (t) => {
  t.equal(nextHome(createMemcgs(40, 1), 17), 0);
});

t.test('the table ends behind the last row in use, and no row is given out twice', async (t) => {
  const { z, tree } = several();
  const { control } = z.memcgs;
  const end = control[TABLE.END];
  for (const order of [(a: number, b: number) => a - b, (a: number, b: number) => b - a]) {
    const numbers = Array.from({ length: 1000 }, (_, i) => i);
    for (const i of numbers) tree.create(`m${i}`);
    t.equal(control[TABLE.END], end + 1000);
    for (const i of numbers.sort(order)) tree.offline(`m${i}`);
    while (tree.offlineRows > 0) tree.reap();
    t.equal(control[TABLE.END], end);
  }
  const random = randoms(1);
  const rows = new Map<number, string>();
  for (let i = 0; i < 5000; i++) {
    if (random(2) === 0 || rows.size === 0) {
      const m = tree.create(`x${i}`);
      if (rows.has(m) || m < end) throw new Error(`row ${m} was given out twice`);
      rows.set(m, `x${i}`);
    } else {
      const [m, name] = [...rows][random(rows.size)];
      tree.offline(name);
      rows.delete(m);
    }
    while (tree.offlineRows > 0) tree.reap();
    const last = Math.max(end - 1, ...rows.keys());
    if (control[TABLE.END] !== last + 1) throw new Error(`ends at ${control[TABLE.END]}, not ${last + 1}`);
  }
});
