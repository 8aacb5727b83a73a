import t from 'tap';
import { type Batch, Outbox } from '#src/agent/outbox.js';
import { FLAG } from '#src/agent/wire.js';

const PATHS: Readonly<Record<number, string>> = { 1: '/', 7: '/a', 8: '/a/b', 9: `/${'é'.repeat(2048)}` };
const outbox = (slotsMax?: number): Outbox => new Outbox((id) => PATHS[id], slotsMax);

/** A record as [slot, slots, cgroup, time]. */
function rows({ records }: Batch): number[][] {
  return Array.from({ length: records.count }, (_, i) => [
    records.slot[i],
    records.slots[i],
    records.cgroup[i],
    records.time[i],
  ]);
}

function all(box: Outbox): Batch[] {
  const batches: Batch[] = [];
  for (let batch = box.take(); batch !== undefined; batch = box.take()) batches.push(batch);
  return batches;
}

t.test('slots that follow each other closely are one record with the earliest time', async (t) => {
  const box = outbox();
  box.charge(10, 1, 7, 1000);
  box.charge(11, 1, 7, 1500);
  box.charge(12, 4, 7, 1999);
  box.charge(16, 1, 7, 2001);
  box.charge(17, 1, 8, 2002);
  box.free(18, 2, 2003);
  box.free(20, 1, 2004);
  box.charge(30, 1, 7, 2005);
  const [batch] = all(box);
  t.same(rows(batch), [
    [10, 6, 7, 1000],
    [16, 1, 7, 2001],
    [17, 1, 8, 2002],
    [18, 3, 0, 2003],
    [30, 1, 7, 2005],
  ]);
});

t.test('a cgroup is named once, in the batch of its first record, and not at all if nobody knows it', async (t) => {
  const box = outbox();
  box.charge(1, 1, 7, 0);
  box.charge(5, 1, 7, 0);
  const [first] = all(box);
  t.same(first.names, [{ id: 7, path: '/a' }]);
  box.charge(9, 1, 7, 0);
  box.charge(20, 1, 99, 0);
  box.charge(30, 1, 9, 0);
  const [second] = all(box);
  t.same(second.names, [], 'nor one whose path is longer than a server takes');
  t.same(rows(second).length, 3);
  box.forgetNames();
  box.charge(1, 1, 7, 0);
  t.same(all(box)[0].names, [{ id: 7, path: '/a' }], 'a new server hears it again');
});

t.test('names that the server had no room for are told again with their next records', async (t) => {
  const box = outbox();
  box.charge(1, 1, 7, 0);
  const [first] = all(box);
  box.charge(2, 1, 7, 0);
  box.refused(first);
  box.charge(3, 1, 7, 0);
  box.charge(4, 1, 7, 0);
  t.same(all(box)[0].names, [{ id: 7, path: '/a' }]);
  box.charge(5, 1, 7, 0);
  t.same(all(box)[0].names, [], 'once for each answer');
});

t.test(
  'that a cgroup is gone comes in a batch behind its last record, and only of those that were named',
  async (t) => {
    const box = outbox();
    box.charge(1, 1, 7, 0);
    box.gone(8);
    box.gone(7);
    box.charge(2, 1, 8, 0);
    const [first, second, ...rest] = all(box);
    t.same(rest, []);
    t.same(first.names, [{ id: 7, path: '/a' }]);
    t.same(second.names, [
      { id: 7, path: undefined },
      { id: 8, path: '/a/b' },
    ]);
  },
);

t.test('what was seen has batches of its own', async (t) => {
  const box = outbox();
  box.restart();
  box.charge(1, 1, 7, 10);
  box.seen(5, 7, 20);
  box.seen(6, 7, 20);
  box.free(5, 1, 30);
  box.endResync();
  const batches = all(box);
  t.same(
    batches.map(({ flags }) => flags),
    [FLAG.begin, FLAG.seen, FLAG.end],
  );
  t.same(batches.map(rows), [[[1, 1, 7, 10]], [[5, 2, 7, 20]], [[5, 1, 0, 30]]]);
});

t.test('a resync voids what waits, but not what cgroups are called and which are gone', async (t) => {
  const box = outbox();
  box.charge(1, 1, 7, 10);
  box.charge(2, 1, 8, 10);
  box.gone(8);
  box.restart();
  box.endResync();
  const [batch, ...rest] = all(box);
  t.same(rest, []);
  t.equal(batch.flags, FLAG.begin | FLAG.end);
  t.same(batch.names, [
    { id: 7, path: '/a' },
    { id: 8, path: '/a/b' },
    { id: 8, path: undefined },
  ]);
  t.equal(batch.records.count, 0);
});

t.test('a batch has no more slots than the server takes, also where one record has more', async (t) => {
  const box = outbox(100);
  box.charge(0, 250, 7, 0);
  box.charge(250, 30, 7, 0);
  const batches = all(box);
  t.ok(batches.every((batch) => rows(batch).reduce((sum, [, slots]) => sum + slots, 0) <= 100));
  t.equal(
    batches.flatMap(rows).reduce((sum, [, slots]) => sum + slots, 0),
    280,
  );
});

t.test('without a server the outbox stays bounded, counts what it gives up, and waits for a resync', async (t) => {
  const box = outbox();
  let told = 0;
  box.charge(0, 1, 8, 0);
  box.seal();
  for (; !box.isBroken && told < 1e6; told++) box.charge(told * 2, 1, 7, told);
  t.ok(box.isBroken);
  t.ok(told < 200_000, `broke after ${told} records`);
  t.equal(box.take(), undefined);
  box.charge(4, 3, 7, 0);
  box.gone(8);
  box.restart();
  box.charge(1, 1, 7, 1);
  const [batch] = all(box);
  t.equal(batch.flags, FLAG.begin);
  t.equal(batch.lost, told + 4 - 1 + 1 - 1, 'every slot that was charged since, but the one that broke it');
  t.same(batch.names, [
    { id: 8, path: undefined },
    { id: 7, path: '/a' },
  ]);
});

t.test('a batch of unknown fate is lost, and who is gone is told again', async (t) => {
  const box = outbox();
  box.charge(1, 5, 7, 0);
  all(box);
  box.gone(7);
  const [batch] = all(box);
  box.giveUp({ ...batch, lost: 2 });
  box.restart();
  t.match(all(box), [{ lost: 2, names: [{ id: 7, path: undefined }] }]);
});
