// Cgroups of a guest that go, and come again under the same name: what is left of them, and what is forgotten.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { ctl } from '#src/cli/ctl.js';
import { TestAgent } from '../support/agent.ts';
import { askFile, memoryStat } from '../support/control_files.ts';
import { startServer } from '../support/one_thread.ts';
import { tempFolder } from '../support/tmp.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

t.setTimeout(120_000);

async function begin(t: Test, memcgs: object = {}) {
  const folder = tempFolder(t);
  const agentToken = join(folder, 'token');
  const exports = [
    { name: 'one', size: '16MiB', image: `${folder}/one.img`, memcg: 'g', attribution: 'agent', agentToken },
  ];
  const set = ['pool.max=64MiB', `agents.unix=${folder}/agents.sock`, `memcgs=${JSON.stringify(memcgs)}`];
  const server = await startServer(t, { folder, exports, set });
  const agent = new TestAgent(join(folder, 'agents.sock'), 'one', agentToken);
  t.teardown(() => agent.close());
  const client = await server.connect({ export: 'one' });
  const charged = async (path: string) => ((await memoryStat(server, path)).agent_charged ?? 0) / 4096;
  const pages = async (path: string) => ((await memoryStat(server, path)).zswapped ?? 0) / 4096;
  const of = async (path: string) => [await charged(path), await pages(path)];
  const named = async () => (await server.stats()).exports[0].agent.cgroups;
  const newSession = () => {
    agent.session++;
    agent.sequence = 0;
  };
  const checked = async () => t.match(await fetchControl(server.controlPath, '/check'), { ok: true, problems: [] });
  return { server, agent, client, of, named, newSession, checked };
}

/** A guest with this cgroup, whose eight slots are written, and a memcg /g/svc that was there before. */
async function oneCgroup(t: Test, path: string) {
  const guest = await begin(t, { 'g/svc': {} });
  const time0 = await guest.agent.now();
  await guest.agent.say({ flags: 3, names: [[2, path]], time0, records: [{ slot: 0, count: 8, id: 2 }] });
  await writeSlots(guest.client, 0, 8);
  return guest;
}

t.test('cgroups that a new session has not named when its resync ends are gone', async (t) => {
  const { server, agent, named, newSession, client, of } = await begin(t);
  await agent.say({
    flags: 3,
    names: [
      [1, '/a'],
      [2, '/old/x'],
      [3, '/old/y'],
    ],
  });
  newSession();
  await agent.say({ flags: 1, names: [[1, '/a']] });
  t.equal(await named(), 3, 'its resync is not over');
  await agent.say({ flags: 4, records: [{ slot: 0, count: 8, id: 3 }] });
  await agent.say({ flags: 2 });
  t.equal(await named(), 2, 'one that a record speaks of is there');
  t.match(await askFile(server, 'GET', '/cgroup/g/old/x/memory.stat'), /ENOENT/);
  await writeSlots(client, 0, 8);
  t.strictSame(await of('/g/old/y'), [8, 8]);
  await agent.say({ flags: 3 });
  t.equal(await named(), 2, 'a resync of the same session needs no names');
});

t.test('cgroups of the session before make way for those that the next one names', async (t) => {
  const { agent, named, newSession } = await begin(t);
  const boot = (first: number) => Array.from({ length: 8000 }, (_, i) => [first + i, `/run-${first + i}`] as const);
  const records = boot(1).map(([id], i) => ({ slot: i % 4096, id }));
  t.match(await agent.say({ flags: 1, names: boot(1) }), { unnamed: 0 });
  await agent.say({ flags: 6, records });
  newSession();
  t.match(await agent.say({ flags: 1, names: boot(10_001) }), { unnamed: 0 });
  await agent.say({ flags: 2 });
  t.equal(await named(), 8000);
});

for (const name of ['config', 'by hand'] as const) {
  t.test(`the next cgroup of a name has nothing of the one before, in a memcg that stays (${name})`, async (t) => {
    const { server, agent, client, of, checked } = await begin(
      t,
      name === 'config' ? { 'g/svc': {}, 'g/svc/sub': {} } : {},
    );
    if (name === 'by hand') t.equal(await askFile(server, 'POST', '/cgroup/g/svc'), '');
    const time0 = await agent.now();
    await agent.say({
      flags: 3,
      names: [
        [2, '/svc'],
        [3, '/svc/sub'],
      ],
      time0,
      records: [
        { slot: 0, count: 20, id: 2 },
        { slot: 20, count: 10, id: 3 },
      ],
    });
    await writeSlots(client, 0, 30);
    t.strictSame(
      [await of('/g/svc'), await of('/g/svc/sub')],
      [
        [30, 30],
        [10, 10],
      ],
    );
    await agent.say({
      names: [
        [3, null],
        [2, null],
      ],
    });
    t.strictSame(
      [await of('/g/svc'), await of('/g')],
      [
        [0, 0],
        [30, 30],
      ],
    );
    await agent.say({ names: [[4, '/svc']], time0, records: [{ slot: 100, count: 5, id: 4 }] });
    await writeSlots(client, 100, 105);
    t.strictSame(await of('/g/svc'), [5, 5]);
    t.same(await wrongSlots(client, 0, 30), []);
    await checked();
  });
}

t.test('one that is made again before what was below it is gone has nothing of the one before', async (t) => {
  const { agent, client, of, checked } = await begin(t);
  const time0 = await agent.now();
  const records = [
    { slot: 0, count: 8, id: 2 },
    { slot: 8, count: 8, id: 3 },
  ];
  await agent.say({
    flags: 3,
    names: [
      [2, '/svc'],
      [3, '/svc/sub'],
    ],
    time0,
    records,
  });
  await writeSlots(client, 0, 16);
  await agent.say({
    names: [
      [4, '/svc'],
      [5, '/svc/sub'],
    ],
    time0,
    records: [{ slot: 100, count: 5, id: 4 }],
  });
  await writeSlots(client, 100, 105);
  t.strictSame(
    [await of('/g/svc'), await of('/g')],
    [
      [5, 5],
      [21, 21],
    ],
  );
  await checked();
});

t.test('a memcg that stays is removed when its cgroup is gone, whatever slots that has', async (t) => {
  const { server, agent, of, checked } = await oneCgroup(t, '/svc');
  t.match(await askFile(server, 'DELETE', '/cgroup/g/svc'), /EBUSY.*a cgroup of the guest of export one/);
  await agent.say({ names: [[2, null]] });
  t.equal(await askFile(server, 'DELETE', '/cgroup/g/svc'), '');
  t.strictSame(await of('/g'), [8, 8]);
  t.match(await askFile(server, 'DELETE', '/cgroup/g/unattributed'), /EBUSY.*one/);
  await checked();
});

t.test('so is one that nobody named, with slots of a cgroup below it', async (t) => {
  const { server, agent, of, checked } = await oneCgroup(t, '/svc/x');
  await agent.say({ names: [[2, null]] });
  t.strictSame(await of('/g/svc'), [8, 8]);
  t.equal(await askFile(server, 'DELETE', '/cgroup/g/svc'), '');
  t.strictSame(await of('/g'), [8, 8]);
  await checked();
});

t.test('mkdir -p of a memcg that a cgroup has made makes it stay', async (t) => {
  const { server, agent } = await begin(t);
  await agent.say({ flags: 3, names: [[2, '/svc']] });
  t.match(await askFile(server, 'POST', '/cgroup/g/svc'), /EEXIST/);
  await ctl(() => server.controlPath, 'mkdir', '/cgroup/g/svc', { parents: true });
  await askFile(server, 'PUT', '/cgroup/g/svc/memory.zswap.max', '1M');
  await agent.say({ names: [[2, null]] });
  await agent.say({ names: [[3, '/svc']] });
  t.equal(await askFile(server, 'GET', '/cgroup/g/svc/memory.zswap.max'), '1048576\n');
  await agent.say({ names: [[3, null]] });
  t.equal(await askFile(server, 'DELETE', '/cgroup/g/svc'), '');
});
