// On this machine's own tracefs: cgroups that come and go are events there too, and need no probe.
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { now } from '#src/agent/clock.js';
import { EVENT, type EventQueue } from '#src/agent/event_queue.js';
import { Problem } from '#src/agent/problem.js';
import { TraceReader } from '#src/agent/trace_reader.js';
import { Tracefs } from '#src/agent/tracefs.js';
import { missing } from '../support/requires.ts';

const TRACING = '/sys/kernel/tracing';
const hierarchy = / (\/\S+) \S+(?: \S+)* - cgroup2 /.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
const skip =
  missing('root', `${TRACING}/instances`, `${TRACING}/events/cgroup`) ||
  (hierarchy === undefined ? 'no cgroup v2 is mounted' : missing(hierarchy));

t.test('what an agent that was killed left behind goes, and one that runs is left alone', { skip }, async (t) => {
  const first = Tracefs.open(64);
  const reader = new TraceReader(first);
  t.throws(() => Tracefs.open(64), new Problem('another agent runs here'));
  t.match(first.read('trace_clock'), /\[mono\]/);
  reader.close();
  // Its files are closed, as the kernel closes those of a process that was killed.
  const second = Tracefs.open(64);
  second.close();
  t.notOk(existsSync(second.instance));
});

t.test('cgroups that are made and removed are told in their order, with path and number', { skip }, async (t) => {
  const tracefs = Tracefs.open(64);
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
