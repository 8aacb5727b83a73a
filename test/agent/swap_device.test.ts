// Which events are our device's, while swap devices come, go and change their types.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Cgroups } from '#src/agent/cgroups.js';
import { EVENT, EventQueue, type TakeEvent } from '#src/agent/event_queue.js';
import { Outbox } from '#src/agent/outbox.js';
import { Source } from '#src/agent/source.js';
import { deviceNumber, SwapDevice } from '#src/agent/swap_device.js';
import { tempFolder } from '../support/tmp.ts';

/** Two that every machine has, as the kernel's swap devices. */
const OURS = '/dev/zero';
const OTHER = '/dev/null';

/** The kernel's side: the table, the types, and the trace, whose probe sees each reading of the table. */
class Kernel {
  readonly queue = new EventQueue();
  readonly swaps: string;
  readonly device: SwapDevice;
  slotEvents = 0;
  events = 0;
  gaps = 0;
  time = 1000;
  private types = new Map<string, number>();
  private until = 0;
  private unread: (readonly [number, number, number])[] = [];
  private unreadEvents = 0;
  /** What happens right after the table was read. */
  afterLook: () => void = () => undefined;

  constructor(folder: string) {
    this.swaps = join(folder, 'swaps');
    this.device = new SwapDevice(OURS, true, this.swaps);
    const look = this.device.look.bind(this.device);
    this.device.look = (time) => {
      const hasChanged = look(time);
      this.wasRead();
      this.afterLook();
      return hasChanged;
    };
    this.swapOn({});
  }

  /** The table has the order of types, and doesn't tell them. */
  swapOn(types: Readonly<Record<string, number>>): void {
    this.types = new Map(Object.entries(types));
    const lines = [...this.types].sort(([, a], [, b]) => a - b).map(([path]) => `${path} partition 400 0 -2\n`);
    writeFileSync(this.swaps, `Filename Type Size Used Priority\n${lines.join('')}`);
  }

  /** By whomever. */
  wasRead(): void {
    for (const [path, swapType] of this.types) this.unread.push([deviceNumber(path)!, swapType, this.now()]);
  }

  charge(path: string, slot: number): void {
    this.add(EVENT.charge, path, slot, 7);
  }

  free(path: string, slot: number): void {
    this.add(EVENT.free, path, slot, 0);
  }

  private add(kind: number, path: string, slot: number, cgroup: number): void {
    this.queue.hasRoom();
    this.queue.add(kind, this.now(), this.types.get(path)!, slot, 1, cgroup);
    this.unreadEvents++;
  }

  readonly now = (): number => ++this.time;

  fill(): boolean {
    this.until = this.now();
    this.slotEvents = this.unreadEvents;
    this.unreadEvents = 0;
    for (const seen of this.unread.splice(0)) this.device.saw(...seen);
    return false;
  }

  emit(take: TakeEvent): void {
    const { queue } = this;
    while (!queue.isEmpty && queue.time[queue.head] < this.until) take(queue, queue.head++);
  }

  lost(): number {
    return 0;
  }
}

function rig(t: Test) {
  const kernel = new Kernel(tempFolder(t));
  const cgroups = new Cgroups(tempFolder(t));
  const outbox = new Outbox(() => '/a');
  const source = new Source({
    device: kernel.device,
    cgroups,
    outbox,
    reader: kernel,
    now: kernel.now,
    proc: tempFolder(t),
  });
  source.slots = 1000;
  /** Slots that are said to be free since. */
  const freed = (): number[] => {
    const slots: number[] = [];
    for (let batch = outbox.take(); batch !== undefined; batch = outbox.take()) {
      const { slot, slots: counts, cgroup, count } = batch.records;
      for (let i = 0; i < count; i++) if (cgroup[i] === 0) for (let k = 0; k < counts[i]; k++) slots.push(slot[i] + k);
    }
    return slots;
  };
  return { kernel, source, freed };
}

/** Ours has type 0, the other one 1, and all that was before has been said. */
async function settled(t: Test) {
  const all = rig(t);
  all.kernel.swapOn({ [OURS]: 0, [OTHER]: 1 });
  await all.source.resync(() => true);
  all.source.poll();
  t.equal(all.kernel.device.swapType, 0);
  all.freed();
  return all;
}

t.test('frees of ours are told, and those of the other device are not', async (t) => {
  const { kernel, source, freed } = await settled(t);
  kernel.free(OURS, 5);
  kernel.free(OTHER, 6);
  source.poll();
  t.same(freed(), [5]);
  t.match(source.counts, { foreign: 1, unsure: 0 });
  t.notOk(source.needsResync);
});

t.test('two devices that change places within a second are never taken for each other', async (t) => {
  const { kernel, source, freed } = await settled(t);
  kernel.free(OURS, 5);
  kernel.swapOn({ [OTHER]: 0, [OURS]: 1 });
  kernel.charge(OURS, 20);
  kernel.free(OTHER, 20);
  source.poll();
  t.same(freed(), [], 'what was before the look may be of either');
  t.equal(kernel.device.swapType, 1);
  t.equal(source.counts.unsure, 2);
  t.ok(source.needsResync, 'and all is told anew');
  await source.resync(() => true);
  kernel.free(OURS, 21);
  kernel.free(OTHER, 22);
  source.poll();
  t.same(freed(), [21]);
  t.equal(source.counts.unsure, 2);
});

t.test('frees that nobody can tell apart ask for a resync, also where ours has the type that it had', async (t) => {
  const { kernel, source, freed } = await settled(t);
  kernel.free(OURS, 5);
  kernel.swapOn({ [OURS]: 0 });
  source.poll();
  t.same(freed(), []);
  t.equal(kernel.device.swapType, 0);
  t.equal(source.counts.unsure, 1);
  t.ok(source.needsResync);
  await source.resync(() => true);
  t.notOk(source.needsResync);
});

t.test(
  'devices that change places while the round is read are looked at again before anything is handed on',
  async (t) => {
    const { kernel, source, freed } = await settled(t);
    kernel.swapOn({ [OURS]: 0 });
    kernel.free(OURS, 5);
    kernel.afterLook = () => {
      kernel.afterLook = () => undefined;
      kernel.swapOn({ [OTHER]: 0, [OURS]: 1 });
      kernel.free(OTHER, 20);
    };
    source.poll();
    t.same(freed(), []);
    t.equal(kernel.device.swapType, 1);
  },
);

t.test('a table that changes at each look has nothing handed on until it stays', async (t) => {
  const { kernel, source, freed } = await settled(t);
  let turn = 0;
  kernel.afterLook = () => {
    kernel.swapOn(turn++ % 2 === 0 ? { [OTHER]: 0, [OURS]: 1 } : { [OURS]: 0, [OTHER]: 1 });
    kernel.free(OTHER, 20);
  };
  kernel.free(OURS, 5);
  for (let i = 0; i < 5; i++) source.poll();
  t.same(freed(), []);
  kernel.afterLook = () => undefined;
  source.poll();
  source.poll();
  t.same(freed(), []);
  await source.resync(() => true);
  kernel.free(OURS, 6);
  source.poll();
  t.same(freed(), [6]);
});

t.test(
  'a device that comes back with another type, in a table with the same lines, is found by what the probe sees',
  async (t) => {
    const { kernel, source, freed } = await settled(t);
    kernel.swapOn({ [OURS]: 3 });
    source.poll();
    kernel.charge(OURS, 1);
    source.poll();
    source.poll();
    t.equal(kernel.device.swapType, 3);
    kernel.swapOn({ [OURS]: 0 });
    kernel.charge(OURS, 2);
    source.poll();
    kernel.charge(OURS, 3);
    source.poll();
    t.equal(kernel.device.swapType, 0);
    await source.resync(() => true);
    kernel.free(OURS, 3);
    source.poll();
    t.ok(freed().includes(3));
  },
);

t.test('what the probe saw of a reading before ours does not count', async (t) => {
  const { kernel, source } = await settled(t);
  // Somebody else reads the table, and what the probe saw of it is read behind what comes after.
  kernel.wasRead();
  kernel.swapOn({ [OTHER]: 0, [OURS]: 1 });
  const { device } = kernel;
  const before = kernel.now();
  t.ok(device.look(kernel.now()));
  device.saw(deviceNumber(OURS)!, 0, before);
  device.settle();
  t.equal(device.swapType, undefined, 'nobody knows yet');
  kernel.charge(OURS, 1);
  source.poll();
  kernel.charge(OURS, 2);
  source.poll();
  t.equal(device.swapType, 1, 'until the probe has seen one of ours');
});
