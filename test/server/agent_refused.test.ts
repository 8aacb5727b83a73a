// What an agent may not do, and what is left after it: clear errors, bounded memory, nothing half applied.
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { makeBatch, TestAgent, type TestBatch } from '../support/agent.ts';
import { askFile } from '../support/control_files.ts';
import { failedStart, startServer } from '../support/one_thread.ts';
import { tempFolder } from '../support/tmp.ts';
import { writeSlots, wrongSlots } from '../system/durability/images.ts';

const A = 11;
const SLOTS = 4096;

async function begin(t: Test) {
  const folder = tempFolder(t);
  const tokens = ['one', 'two'].map((name) => join(folder, `${name}.token`));
  const exports = tokens.map((agentToken, x) => {
    return { name: ['one', 'two'][x], size: '16MiB', image: `${folder}/${x}.img`, attribution: 'agent', agentToken };
  });
  const set = [`agents.unix=${folder}/agents.sock`, 'agents.tcp=127.0.0.1:0'];
  const server = await startServer(t, { folder, exports, set });
  const newAgent = (where = join(folder, 'agents.sock'), name = 'one') => {
    const agent = new TestAgent(where, name, tokens[0]);
    t.teardown(() => agent.close());
    return agent;
  };
  return { server, folder, tokens, newAgent, agent: newAgent() };
}

t.test('without the token of the export there is 401 and nothing else', async (t) => {
  const { agent, tokens, newAgent, server } = await begin(t);
  t.equal(statSync(tokens[0]).mode & 0o777, 0o600);
  const wrong = newAgent();
  const answers = [];
  for (const token of ['', 'x', '0'.repeat(64), agent.token.slice(1)]) {
    wrong.token = token;
    answers.push(await wrong.ask('GET'), await wrong.ask('POST', makeBatch({})), await wrong.ask('DELETE'));
  }
  wrong.token = agent.token;
  answers.push(await wrong.ask('GET', undefined, '/v1/agent/two'), await wrong.ask('GET', undefined, '/v1/agent/none'));
  for (const path of ['/stats', '/v1/fs/cgroup', '/']) answers.push(await wrong.ask('GET', undefined, path));
  t.same(new Set(answers.map(({ status }) => status)), new Set([401]));
  t.equal(new Set(answers.map(({ body }) => JSON.stringify(body))).size, 1, 'always the same words');
  t.equal((await wrong.ask('DELETE')).status, 405);
  const tcp = newAgent((await server.stats()).agents.tcp);
  t.match(await tcp.ask('GET'), { status: 200, body: { version: 1, slots: SLOTS, session: null, expects: 0 } });
});

const torn: [string, TestBatch | Buffer, RegExp][] = [
  ['nothing', Buffer.alloc(0), /0 bytes, allowed: a header of 48/],
  ['half of it', makeBatch({ records: [{ slot: 0, id: A }] }).subarray(0, 60), /60 bytes, allowed: the 68/],
  ['more than it says', Buffer.concat([makeBatch({}), Buffer.alloc(1)]), /49 bytes, allowed: the 48/],
  ['another magic', { magic: 1 }, /magic 0x1, allowed: 0x4157535a/],
  ['another version', { version: 2 }, /version 2, allowed: 1/],
  ['flags of later', { flags: 8 }, /flags 0x8/],
  ['no session', { session: 0n }, /session 0/],
  ['no slots', { records: [{ slot: 0, count: 0, id: A }] }, /record 0 has no slots/],
  ['a slot outside', { records: [{ slot: SLOTS, id: A }] }, /ends at slot 4097, allowed: up to 4096/],
  [
    'slots that end outside',
    {
      records: [
        { slot: 0, id: A },
        { slot: 4000, count: 97, id: A },
      ],
    },
    /record 1 ends at slot 4097/,
  ],
  [
    'slots that wrap',
    { records: [{ slot: 0xffffffff, count: 0xffffffff, id: A }] },
    /record 0 ends at slot 8589934590/,
  ],
  [
    'too many slots',
    { records: Array.from({ length: 257 }, () => ({ slot: 0, count: SLOTS, id: A })) },
    /slots, allowed: 1048576/,
  ],
  ['a name that is no UTF-8', { names: [[A, Buffer.from([0x2f, 0xff])]] }, /no UTF-8/],
  ['a cgroup 0', { names: [[0, '/x']] }, /id 0/],
  ['a path that is too long', { names: [[A, `/${'x'.repeat(4095)}`]] }, /a path of 4096 bytes, allowed: up to 4095/],
];
t.test('a torn batch has no effect', async (t) => {
  const { agent, server } = await begin(t);
  for (const [name, batch, message] of torn) {
    const body = Buffer.isBuffer(batch) ? batch : makeBatch({ names: [[99, '/torn']], ...batch });
    const { status, body: answer } = await agent.ask('POST', body);
    t.equal(status, 400, name);
    t.match(answer.error, message, name);
  }
  t.equal((await agent.ask('POST', Buffer.alloc(256 * 1024 + 1))).status, 413);
  t.match((await server.stats()).exports[0].agent, { batches: 0, cgroups: 0, events: 0, refused: torn.length + 1 });
  t.match((await agent.ask('GET')).body, { session: null, expects: 0 });
});

t.test('a sequence is applied once, a gap is told, and a new session ends the one before', async (t) => {
  const { agent, newAgent, server } = await begin(t);
  const records = [{ slot: 0, count: 4, id: A }];
  const first = await agent.say({ names: [[A, '/a']], records });
  const again = await agent.ask('POST', makeBatch({ session: 1n, sequence: 0, records }));
  t.match(again, { status: 200, body: { expects: 1, applied: first.applied } });
  t.equal((await server.stats()).exports[0].agent.events, 4, 'once');
  const gap = await agent.ask('POST', makeBatch({ session: 1n, sequence: 2, records }));
  t.match(gap, { status: 409, body: { session: '0000000000000001', expects: 1 } });
  t.equal((await agent.ask('POST', makeBatch({ session: 1n, sequence: 2n ** 64n - 1n }))).status, 409);
  t.equal((await agent.ask('POST', makeBatch({ session: 2n, sequence: 1 }))).status, 409, 'a session begins with 0');
  const other = newAgent();
  other.session = 2n;
  await other.say({ flags: 1 });
  t.match(await agent.ask('POST', makeBatch({ session: 1n, sequence: 1 })), {
    status: 409,
    body: { session: '0000000000000002', expects: 1 },
  });
  await agent.say({ session: 2n, sequence: 1, records });
  t.equal((await server.stats()).exports[0].agent.gaps, 4);
});

t.test('a million names are bounded, and those that have no memcg are unattributed', async (t) => {
  const { agent, server } = await begin(t);
  const EACH = 10_000;
  for (let from = 0; from < 1_000_000; from += EACH) {
    const names = Array.from({ length: EACH }, (_, i) => [from + i + 1, `/n${from + i}`] as const);
    await agent.say({ names });
  }
  const { agent: counted } = (await server.stats()).exports[0];
  t.equal(counted.cgroups, 8192);
  t.match(await agent.say({ records: [{ slot: 0, count: 4, id: 999_999 }] }), { applied: 4, unknown: 4 });
  for (let from = 0; from < 8192; from += 4096) {
    await agent.say({ names: Array.from({ length: 4096 }, (_, i) => [from + i + 1, null] as const) });
  }
  t.match(await agent.say({ names: [[77, '/again']], records: [{ slot: 0, id: 77 }] }), { unknown: 0, unnamed: 0 });
  t.match(await askFile(server, 'GET', '/cgroup/one/again/memory.stat'), /agent_charged 4096/);
});

t.test('an agent that stops half-way leaves nothing behind, and the next one goes on', async (t) => {
  const { agent, server, folder } = await begin(t);
  const client = await server.connect({ export: 'one' });
  await agent.say({ names: [[A, '/a']] });
  const body = makeBatch({ session: 1n, sequence: 1, records: [{ slot: 0, count: 100, id: A }] });
  const head = `POST /v1/agent/one HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${agent.token}\r\nContent-Length: ${body.length}\r\n\r\n`;
  for (const part of [head.slice(0, 20), head, head + body.toString('latin1').slice(0, 30)]) {
    const socket = connect(join(folder, 'agents.sock'));
    await new Promise((resolve) => socket.write(part, 'latin1', resolve));
    socket.destroy();
  }
  await writeSlots(client, 0, 100);
  t.match(await agent.say({ records: [{ slot: 0, id: A }] }), { applied: 1, expects: 2 });
  t.same(await wrongSlots(client, 0, 100), []);
});

t.test('a token that others can read, or that is none, is refused at the start', async (t) => {
  const folder = tempFolder(t);
  const agentToken = join(folder, 'token');
  const one = { name: 'a', size: '1MiB', image: join(folder, 'i'), attribution: 'agent', agentToken };
  const start = () => failedStart(t, { folder, exports: [one], set: [`agents.unix=${folder}/agents.sock`] });
  writeFileSync(agentToken, `${'ab'.repeat(32)}\n`, { mode: 0o600 });
  chmodSync(agentToken, 0o640);
  t.match(await start(), { code: 2, stderr: /exports\[0\]\.agentToken: .* can be used by others, allowed: mode 0600/ });
  writeFileSync(agentToken, 'secret');
  chmodSync(agentToken, 0o600);
  t.match(await start(), {
    code: 2,
    stderr: /exports\[0\]\.agentToken: .* has no token, allowed: 64 hexadecimal digits/,
  });
});
