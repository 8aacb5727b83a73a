// What the main thread does about memcgs in time: free rows are found, and a reclaim ends with its client.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { CONTROL_CONNECTIONS, RECLAIMS_MAX } from '#src/control/limits.js';
import * as errno from '#src/os/errno.js';
import type { Loop } from '#src/os/loop.js';
import { MEMCG } from '#src/pool/memcg.js';
import type { ToShrinker } from '#src/server/messages.js';
import { ServedMemcgs } from '#src/server/served_memcgs.js';
import { ShrinkerAsks } from '#src/server/shrinker_asks.js';
import { makePage, newZswap, put } from '../support/pool.ts';

function served() {
  const z = newZswap();
  const sent: ToShrinker[] = [];
  const timers: (() => void)[] = [];
  const never = (): never => {
    throw new Error('nothing is put off');
  };
  const loop: Loop = {
    soon: never,
    defer: never,
    after: never,
    every: (_, task) => {
      timers.push(task);
      return { cancel: () => timers.splice(timers.indexOf(task), 1) };
    },
  };
  const asks = new ShrinkerAsks((message) => sent.push(message));
  return { z, sent, timers, asks, memcgs: new ServedMemcgs(z.shared, loop, asks) };
}

const signal = (): AbortSignal => new AbortController().signal;

t.test('a row that nobody names any more is free by itself', async (t) => {
  const { z, memcgs, timers } = served();
  const { tree } = memcgs;
  const m = tree.create('x');
  tree.attach(0, 'x');
  put(z, 1, makePage('text', 1));
  tree.attach(0, 'm');
  tree.offline('x');
  for (const tick of timers) tick();
  t.equal(z.memcgs.state[m], MEMCG.OFFLINE, 'a page names it');
  z.invalidate(0, 1);
  for (const tick of timers) tick();
  t.equal(z.memcgs.state[m], MEMCG.FREE);
  memcgs.close();
  t.equal(timers.length, 0);
});

t.test('each request is answered with what the shrinker says of it', async (t) => {
  const { memcgs, asks, sent } = served();
  const asked = [memcgs.reclaim(1, 4096, null, signal()), memcgs.reclaim(0, 8192, null, signal())];
  t.match(sent, [
    { type: 'reclaim', id: 1, m: 1, bytes: 4096 },
    { type: 'reclaim', id: 2, m: 0, bytes: 8192 },
  ]);
  asks.answered({ type: 'reclaimed', id: 2, errno: errno.EAGAIN });
  asks.answered({ type: 'reclaimed', id: 1, errno: 0 });
  t.strictSame(await Promise.all(asked), [0, errno.EAGAIN]);
});

t.test('a client that goes away ends its own, and one that has gone begins none', async (t) => {
  const { memcgs, asks, sent } = served();
  const client = new AbortController();
  const asked = memcgs.reclaim(1, 4096, null, client.signal);
  const other = memcgs.reclaim(1, 4096, null, signal());
  client.abort();
  t.match(sent.slice(2), [{ type: 'endAsked', id: 1 }]);
  t.equal(await memcgs.reclaim(1, 4096, null, client.signal), errno.EAGAIN);
  t.equal(sent.length, 3);
  asks.answered({ type: 'reclaimed', id: 1, errno: errno.EAGAIN });
  t.equal(await asked, errno.EAGAIN);
  asks.answered({ type: 'reclaimed', id: 2, errno: 0 });
  t.equal(await other, 0);
  await nextTurn();
  t.equal(sent.length, 3);
});

t.test('an age is a tick more than was asked for, so that no page goes that was used later', async (t) => {
  const { z, memcgs, sent } = served();
  z.shared.clock[0] = 1000;
  void memcgs.reclaim(1, 4096, 30, signal());
  t.match(sent, [{ type: 'reclaim', unusedSince: 1000 - 30 * 4 - 1 }]);
});

t.test('some connections of the control socket are left to others, however many reclaim', async (t) => {
  const { memcgs, asks, sent } = served();
  for (let i = 0; i < RECLAIMS_MAX; i++) void memcgs.reclaim(0, 4096, null, signal());
  t.equal(await memcgs.reclaim(0, 4096, null, signal()), errno.EAGAIN);
  t.equal(sent.length, RECLAIMS_MAX);
  t.ok(RECLAIMS_MAX < CONTROL_CONNECTIONS);
  asks.answered({ type: 'reclaimed', id: 3, errno: 0 });
  void memcgs.reclaim(0, 4096, null, signal());
  t.equal(sent.length, RECLAIMS_MAX + 1);
});
