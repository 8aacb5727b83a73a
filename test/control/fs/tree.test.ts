// The five verbs on a tree of memcgs that can be changed, which the config's own can't.
import t from 'tap';
import { type Cgroups, cgroupFolder } from '#src/control/fs/cgroup.js';
import { FsError } from '#src/control/fs/errors.js';
import { NO_LIMIT } from '#src/control/fs/notations.js';
import { folderName, parsePath } from '#src/control/fs/path.js';
import { FileTree, table } from '#src/control/fs/tree.js';

interface Group {
  name: string;
  parent: number;
  max: number;
  writeback: boolean;
  bytes: number;
}

/** At most four below the root, and one with bytes is in use. */
const GROUPS_MAX = 5;

function memoryGroups(): { groups: Cgroups; list: Group[] } {
  const list: (Group | undefined)[] = [{ name: '', parent: -1, max: NO_LIMIT, writeback: true, bytes: 0 }];
  const at = (m: number): Group => list[m]!;
  const children = (parent: number): number[] => [...list.keys()].filter((m) => list[m]?.parent === parent);
  const descendants = (m: number): number => children(m).reduce((sum, child) => sum + 1 + descendants(child), 0);
  const groups: Cgroups = {
    root: 0,
    child: (parent, name) => children(parent).find((m) => at(m).name === name),
    children: (parent) => children(parent).map((m) => [at(m).name, m]),
    descendants: (m) => ({ online: descendants(m), dying: 0 }),
    current: (m) => at(m).bytes,
    max: (m) => at(m).max,
    writeback: (m) => at(m).writeback,
    stat: (m) => {
      const events = { zswpin: 1, zswpout: 2, zswpwb: 3, zswpwb_proactive_b: 4, agent_charged: 0, zswap_dead: 0 };
      return { zswap: at(m).bytes, zswapped: 4096, zswap_incomp: 0, ...events };
    },
    setMax: (m, bytes) => {
      at(m).max = bytes;
    },
    keep: () => undefined,
    setWriteback: (m, on) => {
      at(m).writeback = on;
    },
    create: (parent, name) => {
      if (list.length === GROUPS_MAX) throw new FsError('ENOSPC');
      list.push({ name, parent, max: NO_LIMIT, writeback: true, bytes: 0 });
    },
    remove: (m) => {
      if (children(m).length > 0 || at(m).bytes > 0) throw new FsError('EBUSY');
      list[m] = undefined;
    },
    reclaim: () => Promise.resolve(),
  };
  return { groups, list: list as Group[] };
}

function tree() {
  const { groups, list } = memoryGroups();
  const files = new FileTree(
    table({
      cgroup: cgroupFolder(groups),
      parameters: table({ a: { read: () => 'Y' }, w: { write: () => undefined } }),
    }),
  );
  return { files, list };
}

const code = (name: string) => ({ name: 'FsError', message: new RegExp(`^${name}: `) });

t.test('a folder is made, set and removed', async (t) => {
  const { files, list } = tree();
  files.mkdir('/cgroup/guest');
  files.mkdir('/cgroup/guest/web');
  t.equal(await files.get('/cgroup/guest/memory.zswap.max'), 'max\n');
  await files.set('/cgroup/guest/web/memory.zswap.max', '10M\n');
  t.equal(await files.get('/cgroup/guest/web/memory.zswap.max'), '10485760\n');
  await files.set('/cgroup/guest/memory.zswap.writeback', '0');
  t.equal(await files.get('/cgroup/guest/memory.zswap.writeback'), '0\n');
  t.equal(await files.get('/cgroup/cgroup.stat'), 'nr_descendants 2\nnr_dying_descendants 0\n');
  t.equal(
    await files.get('/cgroup/guest/memory.stat'),
    'zswap 0\nzswapped 4096\nzswap_incomp 0\nzswpin 1\nzswpout 2\nzswpwb 3\nzswpwb_proactive_b 4\nagent_charged 0\nzswap_dead 0\n',
  );
  t.throws(() => files.rmdir('/cgroup/guest'), code('EBUSY'));
  list[2].bytes = 1;
  t.throws(() => files.rmdir('/cgroup/guest/web'), code('EBUSY'));
  list[2].bytes = 0;
  files.rmdir('/cgroup/guest/web/');
  files.rmdir('/cgroup/guest');
  t.equal(files.ls('/cgroup', false), 'cgroup.stat\nmemory.reclaim\nmemory.stat\nmemory.zswap.writeback\n');
});

t.test('the root has neither a limit nor a sum of its own', async (t) => {
  const { files } = tree();
  for (const file of ['memory.zswap.max', 'memory.zswap.current']) {
    await t.rejects(files.get(`/cgroup/${file}`), code('ENOENT'));
    await t.rejects(files.set(`/cgroup/${file}`, '0'), code('ENOENT'));
  }
  t.equal(await files.get('/cgroup/memory.zswap.writeback'), '1\n');
});

t.test('a list says with the mode what can be done, and of a file its path', async (t) => {
  const { files } = tree();
  files.mkdir('/cgroup/b');
  files.mkdir('/cgroup/a');
  t.equal(
    files.ls('/cgroup/', true),
    [
      'drwxr-xr-x a',
      'drwxr-xr-x b',
      '-r--r--r-- cgroup.stat',
      '--w------- memory.reclaim',
      '-r--r--r-- memory.stat',
      '-rw-r--r-- memory.zswap.writeback\n',
    ].join('\n'),
  );
  t.equal(files.ls('/', true), 'drwxr-xr-x cgroup\ndr-xr-xr-x parameters\n');
  t.equal(files.ls('/parameters', true), '-r--r--r-- a\n--w------- w\n');
  t.equal(files.ls('//parameters/./a', false), '/parameters/a\n');
  t.equal(files.ls('/parameters/w', true), '--w------- /parameters/w\n');
});

t.test('reading and writing what is not for that', async (t) => {
  const { files } = tree();
  await t.rejects(files.get('/parameters/w'), code('EACCES'));
  await t.rejects(files.set('/parameters/a', 'Y'), code('EACCES'));
  await t.rejects(files.get('/parameters'), code('EISDIR'));
  await t.rejects(files.set('/cgroup', 'Y'), code('EISDIR'));
  await t.rejects(files.get('/nope'), code('ENOENT'));
  await t.rejects(files.get('/nope/a'), code('ENOENT'));
  await t.rejects(files.get('/parameters/a/b'), code('ENOTDIR'));
  await t.rejects(files.get('/parameters/a/'), code('ENOTDIR'));
  await t.rejects(files.get('/parameters/constructor'), code('ENOENT'));
  await t.rejects(files.get('/cgroup/__proto__'), code('ENOENT'));
  t.throws(() => files.ls('/nope', false), code('ENOENT'));
  await t.rejects(files.set('/parameters/w', 'x'.repeat(4097)), code('E2BIG'));
  await files.set('/parameters/w', 'x'.repeat(4096));
});

t.test('folders that can not be made or removed', async (t) => {
  const { files } = tree();
  t.throws(() => files.mkdir('/'), code('EEXIST'));
  t.throws(() => files.mkdir('/cgroup'), code('EEXIST'));
  t.throws(() => files.mkdir('/cgroup/memory.stat'), code('EEXIST'));
  t.throws(() => files.mkdir('/new'), code('EPERM'));
  t.throws(() => files.mkdir('/parameters/new'), code('EPERM'));
  t.throws(() => files.mkdir('/parameters/a/new'), code('ENOTDIR'));
  t.throws(() => files.mkdir('/cgroup/no/new'), code('ENOENT'));
  t.throws(() => files.rmdir('/'), code('EBUSY'));
  t.throws(() => files.rmdir('/cgroup'), code('EPERM'));
  t.throws(() => files.rmdir('/cgroup/no'), code('ENOENT'));
  t.throws(() => files.rmdir('/cgroup/memory.stat'), code('ENOTDIR'));
});

t.test('a hundred thousand mkdirs end at the bound of the table', async (t) => {
  const { files } = tree();
  let made = 0;
  let refused = 0;
  for (let i = 0; i < 100_000; i++) {
    try {
      files.mkdir(`/cgroup/${i}`);
      made++;
    } catch (error) {
      if (!(error instanceof FsError) || !error.message.startsWith('ENOSPC')) throw error;
      refused++;
    }
  }
  t.same({ made, refused }, { made: GROUPS_MAX - 1, refused: 100_000 - GROUPS_MAX + 1 });
});

t.test('paths never lead upwards, and are bounded', async (t) => {
  const { files } = tree();
  for (const path of ['', 'parameters/a', '.', '/..', '/parameters/../parameters/a', '/cgroup/a\nb', '/a\0']) {
    await t.rejects(files.get(path), code('EINVAL'), JSON.stringify(path));
    t.throws(() => files.mkdir(path), code('EINVAL'), JSON.stringify(path));
  }
  t.throws(() => files.mkdir(`/cgroup/${'x'.repeat(256)}`), code('ENAMETOOLONG'));
  t.throws(() => files.mkdir(`/cgroup/${'ä'.repeat(128)}`), code('ENAMETOOLONG'), 'counted in bytes');
  t.throws(() => files.mkdir(`/cgroup${'/x'.repeat(2048)}`), code('ENAMETOOLONG'));
  files.mkdir(`/cgroup/${'x'.repeat(255)}`);
  t.equal(await files.get('/./parameters//a'), 'Y\n');
});

t.test('any name of a config is the name of a folder, and no two are the same', async (t) => {
  const names = ['a', 'a/b', 'a%2Fb', '.', '..', '%2E', '...', 'a b', 'ä'];
  const folders = names.map((name) => folderName(name));
  t.equal(new Set(folders).size, names.length);
  t.notOk(folders.some((name) => name.includes('/') || name === '.' || name === '..'));
  t.equal(folderName('a/b'), 'a%2Fb');
});

t.test('the longest name of a config is no longer than the name of a folder may be', async (t) => {
  for (const one of ['/', '%', 'x']) {
    const name = folderName(one.repeat(255));
    t.same(parsePath(`/block/${name}/mm_stat`).names, ['block', name, 'mm_stat'], one);
  }
  t.throws(() => parsePath(`/block/${'x'.repeat(766)}`), code('ENAMETOOLONG'));
  t.throws(() => parsePath(`/cgroup/${'%2F'.repeat(86)}`), code('ENAMETOOLONG'), 'of a cgroup it is the name itself');
});
