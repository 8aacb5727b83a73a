// Faults of the process: what ends it ends it as any fault would, and what only slows it down is nobody's error.

import t from 'tap';
import { askFaults as ask, planOf as plan } from '../support/faults.ts';
import { makePage } from '../support/pool.ts';
import { startServer } from '../support/zswapd.ts';

const PAGE = 4096;
const text = (number: number): Buffer => Buffer.from(makePage('text', number));

t.test('a lane that crashes stops the process, and says why', async (t) => {
  const server = await startServer(t);
  await ask(server, 'POST', plan({ site: 'process.lane', action: 'crash', with: { lane: 1 } }));
  const { code, stderr } = await server.ended;
  t.equal(code, 70);
  t.match(stderr, /lane 1: Error: process\.lane crash: the fault plan has asked for it/);
});

t.test('a process is killed at the step that was named', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  await client.write(0, text(0));
  await ask(
    server,
    'POST',
    plan({ site: 'process.kill', action: 'kill', with: { step: 'LD: get' }, when: { nth: 3 } }),
  );
  t.strictSame(await client.read(0, PAGE), text(0));
  t.strictSame(await client.read(0, PAGE), text(0));
  await t.rejects(client.read(0, PAGE));
  const { signal, stderr } = await server.ended;
  t.equal(signal, 'SIGKILL');
  t.match(stderr, /killed at step LD: get/);
});

t.test('a shrinker, a loop or a clock that misbehaves is noticed by nobody', async (t) => {
  const server = await startServer(t, { set: ['pool.max=1MiB'] });
  const client = await server.connect();
  await ask(
    server,
    'POST',
    plan(
      { site: 'process.shrinker', action: 'stall', with: { stall: '200ms' } },
      { site: 'process.loop', action: 'stall', with: { stall: '100ms', thread: 'lane 0' } },
      { site: 'process.loop', action: 'stall', with: { stall: '100ms' } },
      { site: 'process.clock', action: 'jump', with: { by: '1m' } },
    ),
  );
  await server.logged('fault injected', 4);
  for (let slot = 0; slot < 400; slot++) await client.write(slot * PAGE, text(slot));
  for (let slot = 0; slot < 400; slot++) {
    if (!text(slot).equals(await client.read(slot * PAGE, PAGE))) t.fail(`slot ${slot}`);
  }
  t.match(await ask(server, 'GET'), { faults: [{ injected: 1 }, { injected: 1 }, { injected: 1 }, { injected: 1 }] });
  await client.disconnect();
});

t.test('without descriptors nobody new is let in, and without memory nobody minds, while that lasts', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const short = { site: 'process.descriptors', action: 'exhaust', for: '300ms' };
  await ask(server, 'POST', plan(short, { site: 'process.memory', action: 'exhaust', with: { bytes: '32MiB' } }));
  await server.logged('fault injected: process.descriptors exhaust');
  await t.rejects(server.connect());
  await client.write(0, text(0));
  t.strictSame(await client.read(0, PAGE), text(0), 'who is in is served');
  let other = null;
  while (other === null) other = await server.connect().catch(() => null);
  t.strictSame(await other.read(0, PAGE), text(0));
  t.match(await ask(server, 'GET'), { faults: [{ injected: 1, active: false }, { injected: 1 }] });
});
