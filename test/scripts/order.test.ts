// Which test file is run where, and that the list of those that wait names files.
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { COMPUTING, Order, WAITING } from '#src/scripts/testing/order.js';
import { listTestFiles } from '#src/scripts/testing/test_files.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

t.test('each file that waits is there', async (t) => {
  const all = listTestFiles(ROOT);
  t.same(
    WAITING.filter((name) => !all.includes(name)),
    [],
  );
  t.equal(new Set(WAITING).size, WAITING.length);
});

t.test('the place for waiting has those that wait alone, and the others end what is left', async (t) => {
  const [first, second, third] = WAITING;
  const order = new Order(['a', first, 'b', third, second]);
  t.equal(order.next(COMPUTING), first);
  t.same([order.next(0), order.next(1)], ['a', 'b']);
  t.equal(order.next(0), second);
  t.equal(order.next(COMPUTING), third);
  t.same([order.next(COMPUTING), order.next(0)], [undefined, undefined]);
});

t.test('what starts no server comes first, beside the loop devices that say nothing', async (t) => {
  const order = new Order(['cli/a', 'explore/a', WAITING[0], 'explore/b', 'zswap/a']);
  t.same(
    [0, 1, 0, 1].map((job) => order.next(job)),
    ['explore/a', 'explore/b', 'cli/a', 'zswap/a'],
  );
});

t.test('files that are not among those to run are left out', async (t) => {
  t.equal(new Order(['a']).next(COMPUTING), undefined);
});
