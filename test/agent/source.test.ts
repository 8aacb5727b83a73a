import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Cgroups } from '#src/agent/cgroups.js';
import { EVENT, EventQueue, type TakeEvent } from '#src/agent/event_queue.js';
import { type Batch, Outbox } from '#src/agent/outbox.js';
import { Source } from '#src/agent/source.js';
import { FLAG } from '#src/agent/wire.js';
import { mappingOf, writeProcess } from '../support/proc_folder.ts';
import { tempFolder } from '../support/tmp.ts';

const OWN = 1;
const OTHER = 0;
const PAGE = 0x1000;

/** Events as the trace would bring them, written by the test. */
class Events {
  readonly queue = new EventQueue();
  slotEvents = 1;
  events = 0;
  gaps = 0;
  lostEvents = 0;
  /** What happens while the agent reads. */
  before: () => void = () => undefined;

  charge(slot: number, cgroup: number, { pages = 1, swapType = OWN } = {}): void {
    this.queue.add(EVENT.charge, 10, swapType, slot, pages, cgroup);
  }

  free(slot: number): void {
    this.queue.add(EVENT.free, 11, OWN, slot, 1, 0);
  }

  fill(): boolean {
    this.before();
    return false;
  }

  emit(take: TakeEvent): void {
    while (!this.queue.isEmpty) take(this.queue, this.queue.head++);
  }

  lost(): number {
    return this.lostEvents;
  }
}

function rig(t: Test) {
  const root = tempFolder(t);
  const proc = tempFolder(t);
  for (const path of ['a', 'b']) mkdirSync(join(root, path));
  const id = (path: string): number => statSync(join(root, path)).ino;
  const cgroups = new Cgroups(root);
  cgroups.walk();
  const outbox = new Outbox((cgroup) => cgroups.pathOf(cgroup));
  const events = new Events();
  const device = { swapType: OWN, look: () => false, settle: () => undefined };
  let time = 100;
  const source = new Source({ device, cgroups, outbox, reader: events, now: () => time++ * 2e6, proc });
  source.slots = 1000;
  /** All that was said since, as [slot, slots, path or null, whether it was only seen]. */
  const said = (): unknown[][] => {
    const rows: unknown[][] = [];
    for (let batch: Batch | undefined = outbox.take(); batch !== undefined; batch = outbox.take()) {
      const { records, flags } = batch;
      for (let i = 0; i < records.count; i++) {
        const path = records.cgroup[i] === 0 ? null : (cgroups.pathOf(records.cgroup[i]) ?? '?');
        rows.push([records.slot[i], records.slots[i], path, (flags & FLAG.seen) !== 0]);
      }
    }
    return rows;
  };
  return { source, events, cgroups, id, said, proc, outbox };
}

t.test('charges and frees of our device are told, those of others and beyond its end are counted', async (t) => {
  const { source, events, id, said } = rig(t);
  events.charge(5, id('a'), { pages: 4 });
  events.charge(6, id('a'), { swapType: OTHER });
  events.charge(998, id('a'), { pages: 4 });
  events.charge(20, 777);
  events.free(5);
  source.poll();
  t.same(said(), [
    [5, 4, '/a', false],
    [20, 1, '?', false],
    [5, 1, null, false],
  ]);
  t.match(source.counts, { charges: 5, frees: 1, foreign: 1, outside: 4, unknown: 1, lost: 0 });
});

t.test('cgroups come and go between charges', async (t) => {
  const { source, events, cgroups, id, said } = rig(t);
  events.queue.paths.push('/b/new');
  events.queue.add(EVENT.mkdir, 1, 0, 0, 0, 900);
  events.charge(1, 900);
  events.queue.add(EVENT.rmdir, 2, 0, 0, 0, 900);
  events.charge(2, 900);
  source.poll();
  t.same(said(), [
    [1, 1, '/b/new', false],
    [2, 1, '/b', false],
  ]);
  t.equal(cgroups.living(900), id('b'));
});

t.test('a look at pagemap says what is held, and events of that moment know better', async (t) => {
  const { source, events, id, said, proc } = rig(t);
  const swapped = new Map<number, readonly [number, number]>([
    [PAGE, [OWN, 30]],
    [PAGE + 1, [OWN, 31]],
    [PAGE + 2, [OWN, 32]],
    [PAGE + 3, [OTHER, 33]],
    [PAGE + 4, [OWN, 5000]],
  ]);
  writeProcess(proc, { pid: 7, cgroup: '/a', smaps: mappingOf(PAGE, 16, 5), swapped });
  let rounds = 0;
  events.before = () => {
    // The second round is the one after the process was looked at.
    if (++rounds !== 2) return;
    events.charge(31, id('b'));
    events.free(32);
  };
  await source.resync(() => true);
  t.same(said(), [
    [31, 1, '/b', false],
    [32, 1, null, false],
    [30, 1, '/a', true],
  ]);
  t.notOk(source.needsResync);
  t.match(source.counts, { resyncs: 1 });
});

t.test(
  'events that the kernel lost are counted and ask for a resync, which what was read behind them is part of',
  async (t) => {
    const { source, events, id, outbox } = rig(t);
    await source.resync(() => true);
    source.poll();
    t.notOk(source.needsResync);
    while (outbox.take() !== undefined);
    events.charge(1, id('a'));
    source.poll();
    events.lostEvents = 12;
    events.gaps++;
    events.charge(2, id('b'));
    source.poll();
    t.ok(source.needsResync);
    t.equal(source.counts.lost, 12);
    await source.resync(() => true);
    t.notOk(source.needsResync);
    const batch = outbox.take()!;
    t.equal(batch.flags, FLAG.begin | FLAG.end);
    t.equal(batch.lost, 12, 'and the server hears of them');
    t.same([...batch.records.slot], [2]);
    t.equal(outbox.take(), undefined);
  },
);
