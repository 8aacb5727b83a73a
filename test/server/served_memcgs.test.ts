// What the main thread does about memcgs in time: free rows are found, and a reclaim ends with its client.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { CONTROL_CONNECTIONS, RECLAIMS_MAX } from '#src/control/limits.js';
import * as errno from '#src/os/errno.js';
import type { Loop } from '#src/os/loop.js';
import { MEMCG } from '#src/pool/memcg.js';
import type { ToShrinker } from '#src/server/messages.js';
import { ServedMemcgs } from '#src/server/served_memcgs.js';
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
  return { z, sent, timers, memcgs: new ServedMemcgs(z.shared, loop, (message) => sent.push(message)) };
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
  const { memcgs, sent } = served();
  const asked = [memcgs.reclaim(1, 4096, signal()), memcgs.reclaim(0, 8192, signal())];
  t.match(sent, [
    { type: 'reclaim', id: 1, m: 1, bytes: 4096 },
    { type: 'reclaim', id: 2, m: 0, bytes: 8192 },
  ]);
  memcgs.answered({ type: 'reclaimed', id: 2, errno: errno.EAGAIN });
  memcgs.answered({ type: 'reclaimed', id: 1, errno: 0 });
  t.strictSame(await Promise.all(asked), [0, errno.EAGAIN]);
});

t.test('a client that goes away ends its own, and one that has gone begins none', async (t) => {
  const { memcgs, sent } = served();
  const client = new AbortController();
  const asked = memcgs.reclaim(1, 4096, client.signal);
  const other = memcgs.reclaim(1, 4096, signal());
  client.abort();
  t.match(sent.slice(2), [{ type: 'endReclaim', id: 1 }]);
  t.equal(await memcgs.reclaim(1, 4096, client.signal), errno.EAGAIN);
  t.equal(sent.length, 3);
  memcgs.answered({ type: 'reclaimed', id: 1, errno: errno.EAGAIN });
  t.equal(await asked, errno.EAGAIN);
  memcgs.answered({ type: 'reclaimed', id: 2, errno: 0 });
  t.equal(await other, 0);
  await nextTurn();
  t.equal(sent.length, 3);
});

t.test('some connections of the control socket are left to others, however many reclaim', async (t) => {
  const { memcgs, sent } = served();
  for (let i = 0; i < RECLAIMS_MAX; i++) void memcgs.reclaim(0, 4096, signal());
  t.equal(await memcgs.reclaim(0, 4096, signal()), errno.EAGAIN);
  t.equal(sent.length, RECLAIMS_MAX);
  t.ok(RECLAIMS_MAX < CONTROL_CONNECTIONS);
  memcgs.answered({ type: 'reclaimed', id: 3, errno: 0 });
  void memcgs.reclaim(0, 4096, signal());
  t.equal(sent.length, RECLAIMS_MAX + 1);
});
