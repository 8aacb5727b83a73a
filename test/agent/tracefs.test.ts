// On this machine's own tracefs: cgroups that come and go are events there too, and need no probe.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { now } from '#src/agent/clock.js';
import { EVENT, type EventQueue } from '#src/agent/event_queue.js';
import { Problem } from '#src/agent/problem.js';
import { TraceReader } from '#src/agent/trace_reader.js';
import { Tracefs } from '#src/agent/tracefs.js';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';

const CANNOT_MOUNT = cannotMount();
/** Mounted by this test, as far as that can be: machines have it or not. */
const TRACING = CANNOT_MOUNT === false ? mounted() : '/sys/kernel/tracing';
const hierarchy = / (\/\S+) \S+(?: \S+)* - cgroup2 /.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
const skip =
  missing('root', `${TRACING}/instances`, `${TRACING}/events/cgroup`) ||
  (hierarchy === undefined ? 'no cgroup v2 is mounted' : missing(hierarchy));

/** Why tracefs can't be mounted by a test, or false. */
function cannotMount(): string | false {
  const needs = missing('root', 'mount', 'umount');
  if (needs !== false) return needs;
  const tmp = mkdtempSync(join(tmpdir(), 'zswapd-'));
  const { status } = spawnSync('mount', ['-t', 'tracefs', 'none', tmp]);
  if (status === 0) execFileSync('umount', [tmp]);
  rmdirSync(tmp);
  return status === 0 ? false : 'tracefs can not be mounted';
}

function mounted(): string {
  const folder = tempFolder(t);
  execFileSync('mount', ['-t', 'tracefs', 'none', folder]);
  t.teardown(() => execFileSync('umount', [folder]));
  return folder;
}

const isMounted = (root: string): boolean => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${root} `);

t.test('a tracefs that was not mounted is so again in the end', { skip: CANNOT_MOUNT }, async (t) => {
  const root = tempFolder(t);
  t.teardown(() => isMounted(root) && execFileSync('umount', [root]));
  const tracefs = Tracefs.open(64, root);
  t.ok(isMounted(root));
  t.equal(tracefs.close(), undefined);
  t.notOk(isMounted(root));
  t.throws(() => Tracefs.open(-1, root), Problem, 'as where the kernel refuses');
  t.notOk(isMounted(root));
  execFileSync('mount', ['-t', 'tracefs', 'none', root]);
  Tracefs.open(64, root).close();
  t.ok(isMounted(root), 'one that somebody else has mounted stays');
  t.notOk(existsSync(tracefs.instance));
});

t.test('what an agent that was killed left behind goes, and one that runs is left alone', { skip }, async (t) => {
  const first = Tracefs.open(64, TRACING);
  const reader = new TraceReader(first);
  t.throws(() => Tracefs.open(64, TRACING), new Problem('another agent runs here'));
  t.match(first.read('trace_clock'), /\[mono\]/);
  reader.close();
  // Its files are closed, as the kernel closes those of a process that was killed.
  const second = Tracefs.open(64, TRACING);
  second.close();
  t.notOk(existsSync(second.instance));
});

t.test('cgroups that are made and removed are told in their order, with path and number', { skip }, async (t) => {
  const tracefs = Tracefs.open(64, TRACING);
  const reader = new TraceReader(tracefs);
  t.teardown(() => {
    reader.close();
    tracefs.close();
  });
  reader.decodeCgroups(tracefs.enable('cgroup', 'cgroup_mkdir'), tracefs.enable('cgroup', 'cgroup_rmdir'));
  const name = `zswapd-test-${process.pid}`;
  const folder = join(hierarchy!, name);
  const before = now();
  mkdirSync(folder);
  const { ino } = statSync(folder);
  rmdirSync(folder);
  const heard: [number, number, string | undefined][] = [];
  const times: number[] = [];
  const take = (queue: EventQueue, at: number): void => {
    const isMade = queue.kind[at] === EVENT.mkdir;
    const path = isMade ? queue.paths.shift() : undefined;
    // Others may make cgroups meanwhile.
    if (queue.cgroup[at] !== ino) return;
    heard.push([queue.kind[at], queue.cgroup[at], path?.slice(path.lastIndexOf('/') + 1)]);
    times.push(queue.time[at]);
  };
  while (reader.fill(now)) reader.emit(take);
  reader.emit(take);
  t.same(heard, [
    [EVENT.mkdir, ino, name],
    [EVENT.rmdir, ino, undefined],
  ]);
  t.ok(before <= times[0] && times[0] <= times[1] && times[1] <= now(), 'the events have the clock of this process');
  t.equal(reader.lost(), 0);
});

t.test('events that the kernel had no room for are counted', { skip }, async (t) => {
  const tracefs = Tracefs.open(4);
  const reader = new TraceReader(tracefs);
  t.teardown(() => {
    reader.close();
    tracefs.close();
  });
  tracefs.enable('cgroup', 'cgroup_mkdir');
  const folder = join(hierarchy!, `zswapd-lost-${process.pid}`);
  for (let i = 0; i < 2000 && reader.lost() === 0; i++) {
    mkdirSync(folder);
    rmdirSync(folder);
  }
  t.ok(reader.lost() > 0);
  while (reader.fill(now)) reader.emit(() => undefined);
  t.ok(reader.gaps > 0, 'a page says that events before it are missing');
});
