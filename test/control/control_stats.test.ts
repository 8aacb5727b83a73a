// The control plane over its real socket, and what `zswapd stats` makes of it.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fetchControl } from '#src/cli/ask_control.js';
import { formatCheck, formatStats } from '#src/cli/stats.js';
import { type Control, type ControlOptions, startControl } from '#src/control/control.js';

const STATS = {
  version: '0.1.0',
  uptime_s: 12.5,
  counters: { stored_pages: 3, pool_total_size: 2 ** 21, reject_alloc_fail: 0 },
  memcgs: [
    { name: 'guest', 'zswap.max': Number.MAX_SAFE_INTEGER, 'zswap.current': 512 },
    { name: 'b', 'zswap.max': 2 ** 20, 'zswap.current': 0 },
  ],
  lanes: [],
  exports: [{ name: 'swap0', size: 2 ** 30, requests: { read: 7 } }],
  pool: { segments: 1 },
};

async function start(t: Test, options: Partial<ControlOptions> = {}): Promise<{ control: Control; socket: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-'));
  const socket = join(folder, 'c');
  const control = await startControl({ listen: socket, stats: () => STATS, ...options });
  t.teardown(async () => {
    await control.close();
    rmSync(folder, { recursive: true });
  });
  return { control, socket };
}

function send(socketPath: string, method: string, path: string, body = ''): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

t.test('GET /stats answers what the server counts', async (t) => {
  const { socket } = await start(t);
  t.same(await fetchControl(socket, '/stats'), STATS);
});

t.test('an unknown route, another method and a large body are refused in JSON', async (t) => {
  const { socket } = await start(t);
  t.match(await send(socket, 'GET', '/nope?x=1'), {
    status: 404,
    body: { error: 'no route /nope', routes: ['/stats'] },
  });
  t.match(await send(socket, 'DELETE', '/stats'), { status: 405, body: { error: '/stats takes GET' } });
  t.match(await send(socket, 'POST', '/stats', 'x'.repeat(70_000)), { status: 413 });
  t.match(await send(socket, 'GET', '/stats'), { status: 200 }, 'and it serves on');
});

t.test('a header beyond its bound is refused', async (t) => {
  const { socket } = await start(t);
  const client = connect(socket);
  client.write(`GET /stats HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`);
  let answer = '';
  for await (const chunk of client) answer += String(chunk);
  t.match(answer, /^HTTP\/1\.1 431 /);
});

t.test('a fault of the callback is a 500 and is reported', async (t) => {
  const reported: unknown[] = [];
  const { socket } = await start(t, {
    stats: () => {
      throw new Error('broken');
    },
    onError: (error) => reported.push(error),
  });
  await t.rejects(fetchControl(socket, '/stats'), { exitCode: 1, message: /the server answered 500/ });
  t.match(reported, [{ message: 'broken' }]);
});

/** A promise, and what settles it. */
function pending(): { promise: Promise<object>; resolve: (value: object) => void } {
  let resolve: (value: object) => void = () => undefined;
  const promise = new Promise<object>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

t.test('a verb and a check may take longer than the time that cuts who sends or reads nothing', async (t) => {
  const verb = pending();
  const begun = pending();
  const { socket } = await start(t, {
    timeoutMs: 50,
    check: () => verb.promise,
    swapoff: () => {
      begun.resolve({});
      return verb.promise;
    },
  });
  const answer = fetchControl(socket, '/swapoff?export=a', 'POST', 50);
  await begun.promise;
  const check = fetchControl(socket, '/check', 'GET', 60_000);
  // Each of these begins after them, and is cut by the time that they have outlived by then.
  for (let i = 0; i < 2; i++) {
    const silent = connect(socket);
    await new Promise((closed) => silent.once('close', closed).resume());
  }
  await t.rejects(fetchControl(socket, '/check', 'GET', 10), { message: /no answer within 0\.01 s/ });
  verb.resolve({ state: 'off' });
  t.same(await answer, { state: 'off' });
  t.same(await check, { state: 'off' });
});

t.test('sixteen clients at a time, and a further one is closed at once', async (t) => {
  const { socket } = await start(t, { timeoutMs: 600_000 });
  const clients: Socket[] = [];
  for (let i = 0; i < 16; i++) {
    const client = connect(socket);
    t.teardown(() => client.destroy());
    // Answered, so it is one of those that the server counts.
    client.write('GET /stats HTTP/1.1\r\nhost: x\r\n\r\n');
    await new Promise((done) => client.once('data', done));
    clients.push(client);
  }
  await t.rejects(fetchControl(socket, '/stats', 'GET', 60_000), { message: /socket hang up|ECONNRESET|EPIPE/ });
  const again = new Promise((done) => clients[3].once('data', done));
  clients[3].write('GET /stats HTTP/1.1\r\nhost: x\r\n\r\n');
  t.match(String(await again), /^HTTP\/1\.1 200/, 'those inside are served on');
  clients[0].end();
  await new Promise((done) => clients[0].resume().once('close', done));
  t.same(await fetchControl(socket, '/stats', 'GET', 60_000), STATS, 'and there is room again when one has gone');
});

t.test('nobody there is one line with exit code 1', async (t) => {
  await t.rejects(fetchControl('/does/not/exist', '/stats'), {
    exitCode: 1,
    message: '/does/not/exist: no server answers there (control.listen); is zswapd running?',
  });
});

t.test('closing ends connections in mid-request and takes the socket file away', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = join(folder, 'c');
  const control = await startControl({ listen: socket, stats: () => STATS });
  const client = connect(socket);
  await new Promise((resolve) => client.once('connect', resolve));
  const closed = new Promise((resolve) => client.once('close', resolve));
  client.resume();
  client.write('GET /sta');
  // Answered after the half request above has arrived.
  await fetchControl(socket, '/stats');
  await control.close();
  await closed;
  t.notOk(existsSync(socket));
});

t.test('the human form is aligned, in MiB, and shows whatever keys come', async (t) => {
  const lines = [
    'version    0.1.0',
    'uptime_s  12.500',
    '',
    'counters',
    '  stored_pages             3',
    '  pool_total_size    2.0 MiB',
    '  reject_alloc_fail        0',
    '',
    'memcgs',
    '  name   zswap.max  zswap.current',
    '  guest        max      0.000 MiB',
    '  b        1.0 MiB        0.0 MiB',
    '',
    'lanes',
    '  (none)',
    '',
    'exports',
    '  name         size  requests.read',
    '  swap0  1024.0 MiB              7',
    '',
    'pool',
    '  segments  1',
    '',
  ];
  t.equal(formatStats(STATS), lines.join('\n'));
});

t.test('a check says its verdict first, and none while requests run', async (t) => {
  const figures = { entries: { alive: 1 } };
  t.match(formatCheck({ quiescent: true, ok: true, problems: [], ...figures }), /^ok: nothing leaked\n\nentries\n/);
  t.match(
    formatCheck({ quiescent: true, ok: false, problems: ['1 is not 2'], ...figures }),
    /^1 sums do not agree:\n {2}1 is not 2\n\nentries\n {2}alive {2}1\n$/,
  );
  t.match(
    formatCheck({ quiescent: false, ok: false, problems: [], busy: { pins: 3 } }),
    /^no verdict: .*\n\nbusy\n {2}pins {2}3\n$/,
  );
});

t.test('a verb with a parameter that nobody knows, or twice, does nothing', async (t) => {
  const seen: string[] = [];
  const verb = (name: string): object => {
    seen.push(name);
    return {};
  };
  const { socket } = await start(t, { swapoff: async (name) => verb(name), swapon: verb });
  const queries = [
    'swapoff?export=s&keeep',
    'swapoff?export=s&export=r',
    'swapon?export=s&keep',
    'swapoff?export=s&keep&keep',
  ];
  for (const query of queries) {
    const { status, body } = await send(socket, 'POST', `/${query}`);
    t.equal(status, 400, query);
    t.match(body, { error: /^(keeep|keep) is unknown, allowed: |^(export|keep) is there twice, allowed: once$/ });
  }
  t.same(seen, []);
});

t.test('a flag of a verb has no value, or 1; any other is refused, not taken for yes', async (t) => {
  const seen: object[] = [];
  const swapoff = async (_: string, flags: object): Promise<object> => {
    seen.push(flags);
    return {};
  };
  const { socket } = await start(t, { swapoff });
  for (const query of ['force=false&keep=0', 'force=0', 'keep=no', 'keep&force=true', 'force=1&force=0']) {
    const { status, body } = await send(socket, 'POST', `/swapoff?export=s&${query}`);
    t.equal(status, 400, query);
    t.match(body, { error: /^(force|keep) is .*, allowed: / });
  }
  t.same(seen, []);
  for (const query of ['force&keep', 'force=1&keep=1']) await send(socket, 'POST', `/swapoff?export=s&${query}`);
  await send(socket, 'POST', '/swapoff?export=s');
  const both = { force: true, keep: true };
  t.same(seen, [both, both, { force: false, keep: false }]);
});

t.test('who finds every control connection taken is told so', async (t) => {
  const { socket } = await start(t);
  const taken = Array.from({ length: 16 }, () => connect(socket));
  t.teardown(() => {
    for (const one of taken) one.destroy();
  });
  await Promise.all(taken.map((one) => new Promise((done) => one.once('connect', done))));
  await t.rejects(fetchControl(socket, '/stats'), { message: /takes 16 connections at a time.*try again/ });
});

t.test('a path that is too wide for a table is cut in its middle, and that is said', async (t) => {
  const long = `a${'/b'.repeat(2000)}/ä\u{1f642}`;
  const text = formatStats({ memcgs: [{ name: long, lru_pages: 1 }], exports: [{ name: 'swap0', memcg: long }] });
  const lines = text.trimEnd().split('\n');
  t.ok(
    lines.every((line) => line.length <= 80),
    'no line is wider than a terminal',
  );
  t.match(lines[2], /^ {2}a\/b\/[b/]+\.\.\.[b/]+\/ä\u{1f642} +1$/u);
  t.equal(lines.at(-1), 'Names of more than 60 characters are cut in their middle; --json has them whole.');
  t.notMatch(formatStats({ memcgs: [{ name: 'b'.repeat(60), lru_pages: 1 }] }), /--json/);
});
