// How much memory "20%" is a share of: every limit on the way up to the root counts, as it does for the kernel.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { cgroupLimit, usableMemory } from '#src/config/memory.js';
import { memoryWarning } from '#src/config/pool_checks.js';
import { tempFolder } from '../support/tmp.ts';

const MIB = 2 ** 20;
const UNLIMITED_V1 = '9223372036854771712';

interface Machine {
  /** Lines of /proc/self/cgroup, and of mountinfo as `root point type options`, the point below the folder of the test. */
  readonly cgroup: readonly string[];
  readonly mounts: readonly string[];
  /** Content of files, by path below the folder of the test. */
  readonly files: Readonly<Record<string, string>>;
}

/** The folder that stands for /proc/self. */
function machine(t: Test, { cgroup, mounts, files }: Machine): string {
  const root = tempFolder(t);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  const lines = mounts.map((line) => {
    const [shown, point, type, options] = line.split(' ');
    return `30 24 0:26 ${shown} ${root}/${point} rw,nosuid shared:4 - ${type} none ${options}`;
  });
  write('self/cgroup', cgroup.map((line) => `${line}\n`).join(''));
  write('self/mountinfo', lines.map((line) => `${line}\n`).join(''));
  return join(root, 'self');
}

const V2 = { cgroup: ['0::/a.slice/b/c'], mounts: ['/ cg cgroup2 rw'] };

t.test('version 2: the least of the limits up to the root', async (t) => {
  const files = { 'cg/a.slice/memory.max': `${300 * MIB}\n`, 'cg/a.slice/b/memory.max': `${400 * MIB}\n` };
  const self = machine(t, { ...V2, files: { ...files, 'cg/a.slice/b/c/memory.max': 'max\n' } });
  t.equal(cgroupLimit(self), 300 * MIB);
  t.equal(usableMemory(self), Math.min(300 * MIB, totalmem()));
});

t.test('version 2: without a limit there is none', async (t) => {
  const files = { 'cg/a.slice/memory.max': 'max\n', 'cg/a.slice/b/memory.max': 'max\n' };
  const self = machine(t, { ...V2, files });
  t.equal(cgroupLimit(self), Infinity);
  t.ok(usableMemory(self) <= totalmem());
});

t.test('version 1: what the kernel has found on the way up', async (t) => {
  const cgroup = ['8:pids:/', '4:memory:/jobs/c', '0::/'];
  const mounts = ['/ v1/pids cgroup rw,pids', '/ v1/memory cgroup rw,memory', '/ v1/unified cgroup2 rw'];
  const stat = (limit: string) => ({
    'v1/memory/jobs/c/memory.stat': `cache 1\nhierarchical_memory_limit ${limit}\ntotal_cache 2\n`,
    'v1/unified/cgroup.procs': '',
  });
  t.equal(cgroupLimit(machine(t, { cgroup, mounts, files: stat(String(300 * MIB)) })), 300 * MIB);
  t.ok(cgroupLimit(machine(t, { cgroup, mounts, files: stat(UNLIMITED_V1) })) > totalmem());
});

t.test('in a container the mount shows a part of the tree', async (t) => {
  const files = { 'cg/memory.max': `${200 * MIB}\n` };
  const mounts = ['/docker/x cg cgroup2 rw'];
  t.equal(cgroupLimit(machine(t, { cgroup: ['0::/docker/x'], mounts, files })), 200 * MIB);
  t.equal(cgroupLimit(machine(t, { cgroup: ['0::/docker/xy'], mounts, files })), Infinity, 'another part');
});

t.test('what can not be read tells of no limit', async (t) => {
  const self = machine(t, { ...V2, files: {} });
  t.equal(cgroupLimit(self), Infinity);
  rmSync(self, { recursive: true });
  t.equal(cgroupLimit(self), Infinity);
});

t.test('a pool that can not fit into the memory there is gets a warning at start', async (t) => {
  const config = (options: object) => {
    const exports = [{ name: 'a', size: '8GiB', image: 'a.img' }];
    return loadConfigText(join(tempFolder(t), 'c'), JSON.stringify({ exports, ...options })).config;
  };
  const small = config({ pool: { max: '512MiB' } });
  t.match(
    memoryWarning(small, 600 * MIB),
    /^pool\.max: 512MiB, 8MiB of buffers and about 130MiB of the process are more than the 600MiB that this process may use: the kernel may end it, and with it what is not in the image/,
  );
  t.equal(memoryWarning(small, 650 * MIB), null);
  const raw = config({ pool: { max: '512MiB', rawMax: '64MiB' }, onRejectNoWriteback: 'raw' });
  t.match(memoryWarning(raw, 700 * MIB), /64\.?[^ ]*MiB of raw pages/);
  const tiny = [{ name: 'a', size: '64MiB', image: 'a.img' }];
  t.equal(
    memoryWarning(config({ exports: tiny, pool: { max: '8GiB' } }), 600 * MIB),
    null,
    'never more than the device has',
  );
});
