import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Clock, now } from '#src/agent/clock.js';
import { type Address, Link } from '#src/agent/link.js';
import { Outbox } from '#src/agent/outbox.js';
import { Problem } from '#src/agent/problem.js';
import { Sender } from '#src/agent/sender.js';
import { AgentPeer } from '../support/agent_peer.ts';
import { until } from '../support/nbd_server.ts';
import { tempFolder } from '../support/tmp.ts';

t.setTimeout(60_000);

const TOKEN = 'ab'.repeat(32);
const PATHS: Readonly<Record<number, string>> = { 1: '/', 7: '/a', 8: '/a/b' };

interface Told {
  readonly outbox: Outbox;
  readonly clock: Clock;
  readonly said: string[];
  readonly sender: Sender;
  /** How often all had to be told anew. */
  broken: number;
  slots: number;
  /** Rejects as the sender does. */
  readonly running: Promise<void>;
  stop(): Promise<void>;
}

function startSender(t: Test, address: Address, token = TOKEN): Told {
  const outbox = new Outbox((id) => PATHS[id]);
  const clock = new Clock();
  const said: string[] = [];
  const link = new Link(address, 'swap0', token);
  const end = new AbortController();
  const sender = new Sender({
    link,
    clock,
    outbox,
    say: (line) => said.push(line),
    onLimits: (slots) => {
      told.slots = slots;
    },
    onBroken: () => {
      told.broken++;
    },
  });
  const running = sender.run(end.signal);
  // A test that is about something else is told of it by stop().
  running.catch(() => undefined);
  const stop = async (): Promise<void> => {
    end.abort();
    await running.finally(() => link.close());
  };
  const told: Told = { outbox, clock, said, sender, broken: 0, slots: 0, running, stop };
  t.teardown(() => {
    end.abort();
    link.close();
  });
  return told;
}

async function startPeer(t: Test): Promise<{ peer: AgentPeer; address: Address }> {
  const peer = new AgentPeer(TOKEN);
  const port = await peer.listen({ port: 0 });
  t.teardown(() => peer.close());
  return { peer, address: { host: '127.0.0.1', port } };
}

t.test('what is told arrives, in order, with names and times of the server, and nothing twice', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  const before = now();
  told.outbox.charge(10, 5, 7, before);
  told.outbox.charge(20, 1, 8, before + 10);
  await until(() => peer.owners.size === 6);
  told.outbox.free(11, 2, now());
  await until(() => peer.owners.size === 4);
  t.equal(peer.charged('/a'), 4);
  t.equal(peer.charged('/a/b'), 1);
  t.equal(told.slots, peer.slots);
  const [first] = peer.batches;
  t.same(
    first.names.map(({ path }) => path),
    ['/a', '/a/b'],
  );
  // Peer and sender share a process, and so a clock but for its beginning.
  const wrong = Math.abs(first.records[0].time - (before + (performance.now() * 1000 - now())));
  t.ok(wrong <= first.error, `${wrong} µs wrong, said to be ${first.error} at most`);
  t.same(peer.complaints, []);
  await told.stop();
  t.equal(told.sender.batches, peer.batches.length);
  t.match(told.said, [/^the server is there, and answered within \d+ µs$/]);
});

t.test('a unix socket carries the same', async (t) => {
  const path = join(tempFolder(t), 'agents.sock');
  const peer = new AgentPeer(TOKEN);
  await peer.listen({ path });
  t.teardown(() => peer.close());
  const told = startSender(t, { path });
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.charged('/a') === 1);
  await told.stop();
});

t.test('names that the server had no room for are sent again with their next records', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  peer.intervene = (_method, batch) => {
    if (batch === undefined) return undefined;
    peer.intervene = () => undefined;
    peer.session = batch.session;
    peer.expects = 1;
    return { status: 200, body: { expects: 1, now: String(now()), unnamed: 1 } };
  };
  told.outbox.charge(1, 1, 7, now());
  await until(() => told.sender.batches === 1);
  told.outbox.charge(2, 1, 7, now());
  await until(() => peer.batches.length === 1);
  t.same(peer.batches[0].names, [{ id: 7, path: '/a' }]);
  t.equal(peer.charged('/a'), 1);
  t.same(peer.complaints, []);
  await told.stop();
});

t.test('a batch whose answer is lost is sent again as it was, and has its effect once', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.batches.length === 1);
  let hangUps = 0;
  peer.intervene = (_method, batch) => {
    if (batch === undefined || hangUps > 0) return undefined;
    hangUps++;
    // It takes effect, and nobody hears of it.
    peer.intervene = () => undefined;
    peer.expects++;
    return 'hang up';
  };
  told.outbox.charge(2, 1, 7, now());
  await until(() => told.sender.batches === 2);
  t.equal(hangUps, 1);
  t.equal(told.broken, 0, 'the session goes on');
  t.same(peer.complaints, []);
  await told.stop();
});

t.test('a server that was started again is told all anew, in a new session', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.batches.length === 1);
  const { session } = peer;
  peer.forget();
  told.outbox.charge(2, 1, 7, now());
  await until(() => told.broken === 1);
  told.outbox.restart();
  told.outbox.charge(3, 1, 7, now());
  told.outbox.endResync();
  await until(() => peer.owners.has(3));
  t.not(peer.session, session);
  t.match(peer.batches.at(-1), { sequence: 0, flags: 3, names: [{ path: '/a' }], lost: 1 });
  await told.stop();
});

t.test('where batches are missing the session goes on as the server says, with a resync', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.batches.length === 1);
  peer.expects = 40;
  told.outbox.charge(2, 1, 7, now());
  await until(() => told.broken === 1);
  told.outbox.charge(3, 1, 7, now());
  await until(() => peer.owners.has(3));
  t.match(peer.batches.at(-1), { sequence: 40 });
  await told.stop();
});

t.test('an agent whose session another one has ended gives up, and one without the token', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.batches.length === 1);
  peer.session = '00000000deadbeef';
  told.outbox.charge(2, 1, 7, now());
  await t.rejects(told.running, new Problem('another agent (session 00000000deadbeef) has taken over'));
  await t.rejects(startSender(t, address, 'cd'.repeat(32)).running, /answers 401.*the token is not this export's/);
  peer.intervene = () => ({ status: 400, body: { error: 'slots 5+1 of 4' } });
  await t.rejects(startSender(t, address).running, new Problem('the server answers 400: slots 5+1 of 4'));
});

t.test('a server that is busy or not there yet is asked again', async (t) => {
  const path = join(tempFolder(t), 'agents.sock');
  const told = startSender(t, { path });
  told.outbox.charge(1, 1, 7, now());
  await until(() => told.said.length === 1);
  t.match(told.said[0], /^no server: .*ENOENT.*; trying again$/);
  const peer = new AgentPeer(TOKEN);
  let refused = 0;
  peer.intervene = () => (refused++ < 3 ? { status: 503, body: { error: 'a batch is under way' } } : undefined);
  await peer.listen({ path });
  t.teardown(() => peer.close());
  await until(() => peer.charged('/a') === 1);
  t.match(told.said.slice(1), [/^the server is there/], 'one line for all tries');
  t.equal(told.broken, 0);
  await told.stop();
});

t.test('a record from before the first exchange says that it may be from ever', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  // Of 20 s ago, and in one batch with one of now.
  told.outbox.free(1, 1, now() - 20e6);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.owners.size === 1);
  const [{ records, error }] = peer.batches;
  t.equal(records.length, 2);
  t.ok(records[0].time - error <= 0, `${records[0].time} µs`);
  await told.stop();
});

t.test('of what comes after a jump of the clock the time is known as well as before', async (t) => {
  const { peer, address } = await startPeer(t);
  const told = startSender(t, address);
  told.outbox.charge(1, 1, 7, now());
  await until(() => peer.batches.length === 1);
  const { hrtime } = process;
  // Of the agent alone: the peer goes by performance.now().
  const jumped = Object.assign((): [number, number] => {
    const [seconds, nanoseconds] = hrtime();
    return [seconds + 60, nanoseconds];
  }, hrtime);
  process.hrtime = jumped;
  t.teardown(() => {
    process.hrtime = hrtime;
  });
  const freedAt = performance.now() * 1000;
  told.outbox.free(1, 1, now());
  await until(() => peer.batches.length === 2);
  const [, { records, error }] = peer.batches;
  const wrong = Math.abs(records[0].time - freedAt);
  t.ok(wrong <= error, `${wrong} µs wrong, said to be ${error} at most`);
  t.ok(error < 30e6, 'and by less than the jump');
  await told.stop();
});
