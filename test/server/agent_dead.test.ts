// Dead pages on a real server: what is counted of them, and what each policy makes of them.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { TestAgent } from '../support/agent.ts';
import { memoryStat, setFile } from '../support/control_files.ts';
import { startServer } from '../support/one_thread.ts';
import { tempFolder } from '../support/tmp.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

// A server for each test.
t.setTimeout(120_000);

const A = 11;
const PAGE = 4096;

async function begin(t: Test, set: readonly string[]) {
  const folder = tempFolder(t);
  const agentToken = join(folder, 'token');
  const one = { name: 'swap0', size: '16MiB', image: `${folder}/i`, memcg: 'vm', attribution: 'agent', agentToken };
  const common = ['pool.max=64MiB', `agents.unix=${folder}/agents.sock`, 'shrinker.heuristic=none'];
  const server = await startServer(t, { folder, exports: [one], set: [...common, ...set] });
  const agent = new TestAgent(join(folder, 'agents.sock'), 'swap0', agentToken);
  t.teardown(() => agent.close());
  const client = await server.connect();
  await agent.say({ names: [[A, '/a']] });
  const of = () => memoryStat(server, '/vm/a');
  const checked = async () => t.match(await fetchControl(server.controlPath, '/check'), { ok: true, problems: [] });
  /** Slots [0, 64) are A's, and [0, 16) of them are free. */
  const fill = async () => {
    await agent.say({ time0: await agent.now(), records: [{ slot: 0, count: 64, id: A }] });
    await writeSlots(client, 0, 64);
    return agent.say({ time0: await agent.now(), records: [{ slot: 0, count: 16, id: 0 }] });
  };
  return { server, agent, client, of, checked, fill };
}

t.test('their bytes are told, and a WRITE or a charge ends that', async (t) => {
  const { agent, client, of, checked, fill } = await begin(t, ['shrinker.dead=ignore']);
  t.match(await fill(), { applied: 16, dead: 16 });
  const { zswap, zswap_dead: dead } = await of();
  t.ok(dead > 0 && dead < zswap, `${dead} of ${zswap}`);
  await checked();
  await agent.say({ time0: await agent.now(), records: [{ slot: 0, count: 8, id: A }] });
  await writeSlots(client, 0, 8);
  const { zswap_dead: less } = await of();
  t.ok(less > 0 && less < dead);
  t.match(await agent.say({ flags: 4, time0: await agent.now(), records: [{ slot: 8, count: 8, id: A }] }), {
    late: 8,
  });
  t.equal((await of()).zswap_dead, 0);
  t.same(await wrongSlots(client, 0, 64), [], 'all can be read');
  await checked();
});

t.test('a free that is late says nothing of what was written after it', async (t) => {
  const { agent, client, of } = await begin(t, ['shrinker.dead=drop']);
  const time0 = await agent.now();
  await agent.say({ time0, records: [{ slot: 0, count: 8, id: A }] });
  await writeSlots(client, 0, 8);
  t.match(await agent.say({ time0, records: [{ slot: 0, count: 8, id: 0 }] }), { applied: 8, dead: 0 });
  t.equal((await of()).zswap_dead, 0);
  t.same(await wrongSlots(client, 0, 8), []);
});

t.test('a clock that is ahead of the server by more than its error ends no page, and is told', async (t) => {
  const { server, agent, client, fill } = await begin(t, ['shrinker.dead=drop']);
  await agent.say({ time0: await agent.now(), records: [{ slot: 0, count: 64, id: A }] });
  await writeSlots(client, 0, 64);
  // The guest frees slots and uses them again, on a clock that has jumped by a minute.
  const time0 = (await agent.now()) + 60_000_000n;
  const free = { slot: 0, count: 16, id: 0 };
  for (let i = 0; i < 2; i++)
    t.match(await agent.say({ time0, error: 1000, records: [free] }), { applied: 16, dead: 0 });
  t.same(await wrongSlots(client, 0, 64), []);
  t.match((await server.stats()).exports[0].agent, { ahead: 2, dead: 0 });
  t.equal((await server.logged('ahead of')).length, 1, 'once for all that follow each other');
  t.match(await agent.say({ time0, error: 61_000_000, records: [free] }), { dead: 0 }, 'an error that covers it');
  t.match(await fill(), { dead: 16 });
  t.match((await server.stats()).exports[0].agent, { ahead: 2 });
});

/** Slots of the image that have something, after so many pages were written back. The default heuristic passes by live pages first. */
for (const [policy, heuristic, expected] of [
  ['first', 'none', 16],
  ['last', 'none', 0],
  ['last', 'second-chance', 0],
] as const) {
  t.test(`${policy}, ${heuristic}: writeback of 16 pages takes ${expected} dead ones`, async (t) => {
    const set = [`shrinker.dead=${policy}`, `shrinker.heuristic=${heuristic}`, 'shrinker.batch=1'];
    const { server, client, of, checked, fill } = await begin(t, set);
    await fill();
    const { zswap, zswap_dead: dead } = await of();
    const wanted = Math.floor(zswap / 4 / PAGE) * PAGE;
    const left = await setFile(server, '/cgroup/vm/a/memory.reclaim', `${wanted}`);
    t.equal(left, '');
    const after = await of();
    t.ok(after.zswpwb > 0 && after.zswpwb <= 48);
    t.equal(after.zswap_dead, expected === 0 ? dead : Math.max(0, dead - (zswap - after.zswap)));
    t.same(await wrongSlots(client, 0, 64), [], 'all can be read');
    await checked();
  });
}

t.test('drop: they leave the pool as by a TRIM, and nothing else does', async (t) => {
  const { server, client, of, checked, fill } = await begin(t, ['shrinker.dead=drop']);
  t.match(await fill(), { applied: 16, dead: 16 });
  t.match(await of(), { zswapped: 48 * PAGE, zswap_dead: 0, zswpwb: 0 });
  t.same(await wrongSlots(client, 16, 64), []);
  t.same(await client.read(0, 16 * PAGE), Buffer.alloc(16 * PAGE), 'as a discarded slot');
  t.equal((await server.stats()).exports[0].used_pages, 48);
  await writeSlots(client, 0, 16);
  t.same(await wrongSlots(client, 0, 64), []);
  await checked();
});
