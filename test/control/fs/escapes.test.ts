// Names that a guest has chosen: no terminal obeys them, and what is shown can be given back.
import t from 'tap';
import { formatCheck, formatStats } from '#src/cli/stats.js';
import { cgroupFolder } from '#src/control/fs/cgroup.js';
import { escapeName, unescapeName, visible, visibleJson } from '#src/control/fs/escapes.js';
import { parsePath } from '#src/control/fs/path.js';
import { FileTree, table } from '#src/control/fs/tree.js';
import { treeCgroups } from '#src/control/fs/tree_cgroups.js';
import { THREAD_MAIN } from '#src/pool/limits.js';
import { MemcgTree } from '#src/pool/memcg_tree.js';
import { newZswap } from '../../support/pool.ts';

const EVIL = 'e\x1b[2J\x1b]0;owned\x07v';
const SHOWN = 'e\\033[2J\\033]0;owned\\007v';
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what nothing may have.
const OBEYED = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\u2066]/;

t.test('what a terminal would obey is shown in octal, and nothing else is changed', async (t) => {
  const cases: [string, string][] = [
    [EVIL, SHOWN],
    ['web.slice', 'web.slice'],
    ['dev-disk\\x2d1.swap', 'dev-disk\\x2d1.swap'],
    ['ünï 漢', 'ünï 漢'],
    ['csi\x9b', 'csi\\302\\233'],
    ['del\x7f\t', 'del\\177\\011'],
    ['rtl\u202eexe', 'rtl\\342\\200\\256exe'],
    ['line\u2028', 'line\\342\\200\\250'],
    ['\\033', '\\134033'],
    ['\\134033', '\\134134033'],
    ['\\477', '\\477'],
    ['\uFEFFmark\x01', '\uFEFFmark\\001'],
  ];
  for (const [name, shown] of cases) {
    t.equal(escapeName(name), shown);
    t.equal(unescapeName(shown), name);
  }
  t.equal(visible('a\nb\x1b'), 'a\nb\\033');
  t.equal(JSON.parse(visibleJson(JSON.stringify({ [EVIL]: 'csi\x9b' })))[EVIL], 'csi\x9b');
  t.notMatch(visibleJson(JSON.stringify(['csi\x9b\x7f\u202e'])), OBEYED);
});

t.test('a path is taken in octal, and means no more than a name by it', async (t) => {
  t.same(parsePath(`/cgroup/${SHOWN}/memory.stat`).names, ['cgroup', EVIL, 'memory.stat']);
  t.same(parsePath('/a/b\\303\\274c/d\\x2d').names, ['a', 'büc', 'd\\x2d']);
  for (const path of [`/cgroup/${EVIL}`, '/a\\057b', '/a\\000', '/\\056\\056/a', '/a\\377', '/a\\303b']) {
    t.throws(() => parsePath(path), { name: 'FsError', message: /^EINVAL/ }, path);
  }
});

t.test('a memcg of such a name is listed, read and limited by what is shown of it', async (t) => {
  const z = newZswap();
  const own = new MemcgTree(z.shared, THREAD_MAIN);
  own.create(EVIL);
  own.create(`${EVIL}/below`);
  const changes: string[] = [];
  const files = new FileTree(
    table({ cgroup: cgroupFolder(treeCgroups(z.shared, own, () => Promise.resolve(0))) }),
    ({ path }) => changes.push(path),
  );
  for (const long of [true, false]) t.notMatch(files.ls('/cgroup', long), OBEYED);
  t.ok(files.ls('/cgroup', false).split('\n').includes(SHOWN));
  await files.set(`/cgroup/${SHOWN}/memory.zswap.max`, '1M');
  t.equal(z.memcgs.max[own.lookup(EVIL)], 2 ** 20);
  t.equal(files.ls(`/cgroup/${SHOWN}/memory.stat`, false), `/cgroup/${SHOWN}/memory.stat\n`);
  files.mkdir(`/cgroup/${SHOWN}/more`);
  t.same(changes, [`/cgroup/${SHOWN}/memory.zswap.max`, `/cgroup/${SHOWN}/more`]);
});

t.test('tables, verdicts and JSON of stats have nothing that a terminal obeys', async (t) => {
  const stats = { version: 'x', memcgs: [{ name: `vm/${EVIL}`, zswapped: 4096 }], named: { [EVIL]: 1 } };
  t.notMatch(formatStats(stats), OBEYED);
  t.ok(formatStats(stats).includes(`vm/${SHOWN}`));
  const check = { quiescent: true, ok: false, problems: [`zswap.current of vm/${EVIL}\x9b: 1, not 0`] };
  t.notMatch(formatCheck({ ...check, ...stats }), OBEYED);
});
