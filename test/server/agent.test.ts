// An agent of a guest and a real server: pages are whose the agent says, whatever comes first, and what a READ gives is no matter of his.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { TestAgent } from '../support/agent.ts';
import { askFile, memoryStat } from '../support/control_files.ts';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

const [A, B] = [11, 12];
const NAMES = [
  [A, '/a'],
  [B, '/b'],
] as const;

async function begin(t: Test, set: readonly string[] = []) {
  const folder = tempFolder(t);
  const tokens = ['one', 'two'].map((name) => join(folder, `${name}.token`));
  const exports = tokens.map((agentToken, x) => ({
    name: ['one', 'two'][x],
    size: '16MiB',
    image: `${folder}/${x}.img`,
    attribution: 'agent',
    agentToken,
  }));
  const listen = [`agents.unix=${folder}/agents.sock`, 'agents.tcp=127.0.0.1:0'];
  const server = await startServer(t, { folder, exports, set: ['pool.max=64MiB', ...listen, ...set] });
  const agent = new TestAgent(join(folder, 'agents.sock'), 'one', tokens[0]);
  t.teardown(() => agent.close());
  const client = await server.connect({ export: 'one' });
  const pages = async (path: string) => ((await memoryStat(server, `/one${path}`)).zswapped ?? 0) / 4096;
  const ofAgent = async () => (await server.stats()).exports[0].agent;
  const checked = async () => t.match(await fetchControl(server.controlPath, '/check'), { ok: true, problems: [] });
  return { server, folder, tokens, agent, client, pages, ofAgent, checked };
}

t.test('before the WRITE and after it, and what nobody claims', async (t) => {
  const { agent, client, pages, ofAgent, checked, server } = await begin(t);
  t.match((await ofAgent()).resync, 'never');
  await agent.say({ flags: 3, names: NAMES });
  const time0 = await agent.now();
  await agent.say({ time0, records: [{ slot: 0, count: 8, id: A }] });
  await writeSlots(client, 0, 32);
  t.strictSame([await pages('/a'), await pages('/unattributed')], [8, 24]);
  const late = await agent.say({ time0, records: [{ slot: 8, count: 8, id: B }] });
  t.match(late, { applied: 8, moved: 8, late: 8, unknown: 0 });
  t.strictSame([await pages('/a'), await pages('/b'), await pages('/unattributed')], [8, 8, 16]);
  t.equal(await pages(''), 32);
  t.same(await wrongSlots(client, 0, 32), []);
  t.equal((await memoryStat(server, '/one/a')).agent_charged, 8 * 4096);
  t.equal((await memoryStat(server, '/one')).agent_charged, 16 * 4096);
  t.match(await ofAgent(), { resync: 'done', batches: 3, events: 16, moved: 8, late: 8, cgroups: 2, lost: 0 });
  await checked();
});

t.test('a charge does not take what was stored before it, and what was seen not what was stored after', async (t) => {
  const { agent, client, pages } = await begin(t);
  await agent.say({ names: NAMES });
  const early = await agent.now();
  await writeSlots(client, 0, 8);
  const time0 = await agent.now();
  t.match(await agent.say({ time0, records: [{ slot: 0, count: 8, id: A }] }), { moved: 0, late: 0 });
  t.equal(await pages('/unattributed'), 8);
  t.match(await agent.say({ flags: 4, time0: early, records: [{ slot: 0, count: 8, id: B }] }), { moved: 0 });
  t.match(await agent.say({ flags: 4, time0, records: [{ slot: 0, count: 8, id: B }] }), { moved: 8 });
  t.match(await agent.say({ time0, error: 10_000_000, records: [{ slot: 0, count: 4, id: A }] }), { moved: 4 });
  t.strictSame([await pages('/a'), await pages('/b')], [4, 4]);
  await writeSlots(client, 0, 8);
  t.strictSame([await pages('/a'), await pages('/b')], [4, 4], 'the next WRITEs are for whom it said last');
});

t.test('slots that are free are nobody’s, and a resync forgets all', async (t) => {
  const { agent, client, pages } = await begin(t);
  const time0 = await agent.now();
  await agent.say({ names: NAMES, time0, records: [{ slot: 0, count: 16, id: A }] });
  await agent.say({ time0, records: [{ slot: 0, count: 4, id: 0 }] });
  await writeSlots(client, 0, 16);
  t.strictSame([await pages('/a'), await pages('/unattributed')], [12, 4]);
  await agent.say({ flags: 1 });
  t.equal(await pages('/a'), 12, 'what is stored stays where it is');
  await writeSlots(client, 0, 16);
  t.strictSame([await pages('/a'), await pages('/unattributed')], [0, 16]);
});

t.test('a cgroup that is gone leaves its pages and its slots to its parent', async (t) => {
  const { agent, client, pages, checked, server } = await begin(t);
  const time0 = await agent.now();
  await agent.say({
    names: [
      [A, '/a'],
      [B, '/a/b'],
    ],
    time0,
    records: [{ slot: 0, count: 8, id: B }],
  });
  await writeSlots(client, 0, 8);
  t.equal(await pages('/a/b'), 8);
  t.match(await askFile(server, 'DELETE', '/cgroup/one/a/b'), /EBUSY.*one/);
  await agent.say({ names: [[B, null]] });
  t.match(await askFile(server, 'GET', '/cgroup/one/a/b/memory.stat'), /ENOENT/);
  await writeSlots(client, 0, 8);
  t.equal(await pages('/a'), 8);
  await agent.say({ names: [[A, null]] });
  await writeSlots(client, 0, 8);
  t.equal(await pages(''), 8);
  t.equal((await memoryStat(server, '/one')).agent_charged, 8 * 4096);
  await checked();
});

t.test('a limit holds for the pages of its cgroup, and its sibling keeps its own', async (t) => {
  const { agent, client, server, checked } = await begin(t, ['memcgs={"one/a":{"zswap.max":"64KiB"}}']);
  const time0 = await agent.now();
  const records = [
    { slot: 0, count: 512, id: A },
    { slot: 512, count: 512, id: B },
  ];
  await agent.say({ names: NAMES, time0, records });
  await writeSlots(client, 0, 1024);
  const [a, b] = [await memoryStat(server, '/one/a'), await memoryStat(server, '/one/b')];
  t.ok(a.zswap <= 65_536 + 4096 && a.zswpwb > 0, 'the limited one was shrunk');
  t.strictSame([b.zswapped, b.zswpwb], [512 * 4096, 0]);
  t.same(await wrongSlots(client, 0, 1024), []);
  await checked();
});

t.test('a limit holds for pages that come to a cgroup late, and a parent’s for those below it', async (t) => {
  const memcgs = { 'one/a': { 'zswap.max': '64KiB' }, 'one/p': { 'zswap.max': '128KiB' } };
  const { agent, client, server, checked } = await begin(t, [`memcgs=${JSON.stringify(memcgs)}`]);
  const time0 = await agent.now();
  await writeSlots(client, 0, 1536);
  const [P, Q] = [21, 22];
  const records = [A, P, Q].map((id, i) => ({ slot: i * 512, count: 512, id }));
  const names = [...NAMES, [P, '/p/one'], [Q, '/p/two']] as const;
  t.match(await agent.say({ names, time0, records }), { moved: 1536 });
  const until = async (path: string, bytes: number) => {
    let stat = await memoryStat(server, path);
    while (stat.zswap > bytes) stat = await memoryStat(server, path);
    t.ok(stat.zswpwb > 0, path);
  };
  await until('/one/a', 65_536);
  await until('/one/p', 131_072);
  t.same(await wrongSlots(client, 0, 1536), []);
  await checked();
});

t.test(
  'without writeback what comes late stays above the limit, and only a store that knows its cgroup is rejected',
  async (t) => {
    const memcgs = { 'one/a': { 'zswap.max': '64KiB', 'zswap.writeback': false } };
    const { agent, client, server, checked } = await begin(t, [`memcgs=${JSON.stringify(memcgs)}`]);
    const time0 = await agent.now();
    await writeSlots(client, 0, 512);
    t.match(await agent.say({ names: NAMES, time0, records: [{ slot: 0, count: 512, id: A }] }), { moved: 512 });
    const { zswap, zswapped } = await memoryStat(server, '/one/a');
    t.ok(zswap > 65_536);
    t.equal(zswapped, 512 * 4096);
    await agent.say({ time0: await agent.now(), records: [{ slot: 600, count: 1, id: A }] });
    await t.rejects(writeSlots(client, 600, 601), { code: 'ENOSPC' });
    t.match(await memoryStat(server, '/one/a'), { zswap, zswapped, zswpwb: 0 }, 'nothing of it can leave');
    t.same(await wrongSlots(client, 0, 512), []);
    await checked();
  },
);

t.test('a guest that lies about every slot harms nobody’s data', async (t) => {
  const { agent, client, checked } = await begin(t, ['memcgs={"one/a":{"zswap.max":"16KiB"},"one/b":{"zswap.max":0}}']);
  await agent.say({ names: NAMES });
  for (let round = 0; round < 4; round++) {
    const time0 = (await agent.now()) + (round % 2 === 0 ? 10n ** 15n : 0n);
    const records = Array.from({ length: 256 }, (_, i) => ({
      slot: (i * 37) % 512,
      id: [A, B, 0][(i + round) % 3],
      time: (i % 2 === 0 ? 1 : -1) * 2 ** 30,
    }));
    await Promise.all([
      writeSlots(client, 0, 512),
      agent.say({ time0, error: 0xffffffff, flags: round === 2 ? 4 : 0, records }),
    ]);
    t.same(await wrongSlots(client, 0, 512), [], `round ${round}`);
  }
  await checked();
});
