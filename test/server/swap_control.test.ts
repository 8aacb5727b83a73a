// The verbs and the stop against each other: what is refused, by which sentence, and what is waited for.
import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import type { Config } from '#src/config/schema.js';
import { enter, STATE, type State, stateOf, TABLE } from '#src/pool/export_state.js';
import { createShared } from '#src/pool/shared.js';
import { chooseProtocols } from '#src/protocols/index.js';
import type { ToShrinker } from '#src/server/messages.js';
import { SwapControl } from '#src/server/swap_control.js';
import { Zswap } from '#src/zswap/zswap.js';
import { makePage, NEWEST, poolSettings, put } from '../support/pool.ts';

const NAMES = ['a', 'b'];

/** Two exports with a page in slot 0 each, so that swapoff asks the image for a copy first. */
function control(): { c: SwapControl; asked: ToShrinker[]; states: Int32Array; z: Zswap } {
  const exports = NAMES.map((name) => ({ name, pages: 1024, memcg: 0 }));
  const shared = createShared(poolSettings({ exports }));
  const z = new Zswap(shared, chooseProtocols(NEWEST), 2);
  for (const x of [0, 1]) put(z, 0, makePage('text', x), x);
  const config = { exports: NAMES.map((name) => ({ name })), protocol: NEWEST } as unknown as Config;
  const asked: ToShrinker[] = [];
  return { c: new SwapControl(shared, config, (message) => asked.push(message)), asked, states: shared.states, z };
}

const plain = { force: false, keep: false };
const nameOf = (states: Int32Array, x: number): string => TABLE[stateOf(states, x)].name;
/** Whether a promise is settled after everything that can run has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

/** The way to each state. */
const WAYS: Readonly<Record<string, readonly State[]>> = {
  on: [],
  keeping: [STATE.KEEPING],
  closing: [STATE.SWAPPING_OFF],
  punching: [STATE.SWAPPING_OFF, STATE.PUNCHING],
  off: [STATE.SWAPPING_OFF, STATE.PUNCHING, STATE.OFF],
  opening: [STATE.SWAPPING_OFF, STATE.PUNCHING, STATE.OFF, STATE.SWAPPING_ON],
  stopping: [STATE.STOPPING],
  draining: [STATE.STOPPING, STATE.DRAINING],
  ended: [STATE.STOPPING, STATE.DRAINING, STATE.ENDED],
};

for (const { name, swapoff, swapon } of TABLE) {
  t.test(`verbs of an export that is ${name}`, async (t) => {
    const { c, states } = control();
    for (const state of WAYS[name]) enter(states, 1, state);
    t.equal(nameOf(states, 1), name);
    if (swapoff !== null) await t.rejects(c.swapoff('b', plain), { status: 409, message: `export b ${swapoff}` });
    if (swapon !== null) t.throws(() => c.swapon('b'), { status: 409, message: `export b ${swapon}` });
    t.equal(nameOf(states, 1), name, 'a refused verb changes nothing');
  });
}

t.test('an export that is not there, or that clients use', async (t) => {
  const { c } = control();
  await t.rejects(c.swapoff('c', plain), { status: 404, message: 'no export c, allowed: a, b' });
  await t.rejects(c.swapoff('', plain), { status: 404, message: 'no export "", allowed: a, b' }, 'nor no name');
});

t.test('a swapoff that waits for a pin goes on once that is dropped', async (t) => {
  const { c, asked, z } = control();
  const pin = z.pin(0, 7);
  const verb = c.swapoff('a', plain);
  t.notOk(await isSettled(verb));
  t.strictSame(asked, [], 'a write under way comes before the copy');
  z.unpin(pin);
  while (asked.length === 0) await nextTurn();
  c.answered({ type: 'copied', x: 0, errno: 0 });
  t.match(await verb, { export: 'a', state: 'off' });
});

t.test('one verb at a time to an export; another export has its own', async (t) => {
  const { c, asked, states } = control();
  const first = c.swapoff('a', plain);
  await t.rejects(c.swapoff('a', plain), { status: 409, message: /export a is being swapped off/ });
  t.throws(() => c.swapon('a'), { status: 409, message: /export a is being swapped off/ });
  const second = c.swapoff('b', { force: false, keep: true });
  t.strictSame(asked, [
    { type: 'copyOut', x: 0, all: false },
    { type: 'copyOut', x: 1, all: true },
  ]);
  t.strictSame(c.verbs, ['a', 'b']);
  c.answered({ type: 'copied', x: 1, errno: 0 });
  t.match(await second, { export: 'b', state: 'off', kept: true });
  t.notOk(await isSettled(first), 'which still waits for its own image');
  c.answered({ type: 'copied', x: 0, errno: 0 });
  t.match(await first, { export: 'a', state: 'off', kept: false });
  t.match(c.swapon('a'), { state: 'on' });
  t.strictSame([nameOf(states, 0), nameOf(states, 1)], ['on', 'off']);
});

t.test('an image that fails: 503, and the export is on', async (t) => {
  const { c, states } = control();
  const verb = c.swapoff('a', { force: false, keep: true });
  c.answered({ type: 'copied', x: 0, errno: 28 });
  await t.rejects(verb, { status: 503, message: 'the image of a failed (ENOSPC); it is still on' });
  t.equal(nameOf(states, 0), 'on');
});

t.test('an image that refuses to forget: 503, the export is off, and another swapoff asks it again', async (t) => {
  const { c, asked, states, z } = control();
  for (const slot of [3, 4]) put(z, slot, makePage('text', slot), 0);
  const told = (type: 'copied' | 'punched', errno: number): void => c.answered({ type, x: 0, errno });
  const verb = c.swapoff('a', plain);
  told('copied', 0);
  told('punched', 5);
  await t.rejects(verb, {
    status: 503,
    message: /^a is off, but its image failed \(EIO\) and still has 2 of the pages/,
  });
  t.equal(nameOf(states, 0), 'off');
  asked.length = 0;
  const again = c.swapoff('a', plain);
  t.strictSame(asked, [{ type: 'punch', x: 0, first: 3, count: 1021 }]);
  await t.rejects(c.swapoff('a', plain), { status: 409, message: /is being swapped off/ });
  told('punched', 5);
  await t.rejects(again, { status: 503, message: /still has 2 of the pages/ });
  const keep = c.swapoff('a', { force: false, keep: true });
  await t.rejects(keep, { status: 409, message: /is told again to forget, allowed: without --keep/ });
  const last = c.swapoff('a', plain);
  told('punched', 0);
  t.match(await last, { export: 'a', state: 'off', kept: false, freed_pages: 2 });
  await t.rejects(c.swapoff('a', plain), { status: 409, message: 'export a is swapped off already' });
});

t.test('what an image refused to forget is forgotten by a swapon', async (t) => {
  const { c, asked, z } = control();
  put(z, 3, makePage('text', 3), 0);
  const verb = c.swapoff('a', plain);
  c.answered({ type: 'copied', x: 0, errno: 0 });
  c.answered({ type: 'punched', x: 0, errno: 5 });
  await t.rejects(verb, { status: 503, message: /still has 1 of the pages/ });
  c.swapon('a');
  asked.length = 0;
  const next = c.swapoff('a', plain);
  t.strictSame(asked, [{ type: 'punch', x: 0, first: 3, count: 1021 }], 'its slot is in use like any other');
  c.answered({ type: 'punched', x: 0, errno: 0 });
  t.match(await next, { state: 'off' });
});

t.test('a stop waits for the verb of each export, refuses those that come, and ends each in a drain', async (t) => {
  const { c, asked, states } = control();
  const verb = c.swapoff('a', { force: false, keep: true });
  c.stop();
  const ended = c.verbEnded(0);
  t.notOk(await isSettled(ended), 'the stop waits for the verb');
  t.ok(await isSettled(c.verbEnded(1)), 'and for none where there is none');
  t.strictSame([nameOf(states, 0), nameOf(states, 1)], ['keeping', 'stopping']);
  await t.rejects(c.swapoff('b', plain), { message: 'export b is not available any more: the server is stopping' });
  const other = c.drain(1);
  t.strictSame(asked.at(-1), { type: 'drain', x: 1 });
  t.strictSame(
    [nameOf(states, 0), nameOf(states, 1)],
    ['keeping', 'draining'],
    'the other export does not wait for it',
  );
  c.answered({ type: 'drained', x: 1, failed: 3, errno: 5 });
  t.match(await other, { failed: 3, errno: 5 });
  t.equal(nameOf(states, 1), 'ended');
  c.answered({ type: 'copied', x: 0, errno: 0 });
  t.match(await verb, { state: 'off' });
  await ended;
  t.equal(nameOf(states, 0), 'ended', 'nothing of a is in the pool any more');
  t.throws(() => c.swapon('a'), { message: 'export a is not available any more: the server is stopping' });
  const drained = c.drain(0);
  t.strictSame(asked.at(-1), { type: 'drain', x: 0 }, 'what is left is a sync');
  c.answered({ type: 'drained', x: 0, failed: 0, errno: 0 });
  t.match(await drained, { failed: 0, errno: 0 });
  t.equal(nameOf(states, 0), 'ended');
});

t.test('a verb that fails during a stop leaves its export to the drain', async (t) => {
  const { c, states } = control();
  const verb = c.swapoff('a', plain);
  c.stop();
  const ended = c.verbEnded(0);
  c.answered({ type: 'copied', x: 0, errno: 5 });
  await t.rejects(verb, { message: /the image of a failed/ });
  await ended;
  t.equal(nameOf(states, 0), 'stopping');
  void c.drain(0);
  t.equal(nameOf(states, 0), 'draining');
});

t.test('swapoff counts the pages that it has freed, whatever comes and goes in other exports', async (t) => {
  for (const { keep, freed } of [
    { keep: false, freed: 3 },
    { keep: true, freed: 4 },
  ]) {
    const { c, asked, z } = control();
    for (const slot of [1, 2, 3]) put(z, slot, makePage('text', slot), 0);
    const answer = c.swapoff('a', { force: false, keep });
    while (asked.length < 1) await nextTurn();
    for (const slot of [1, 2, 3, 4, 5, 6]) put(z, slot, makePage('text', slot), 1);
    c.answered({ type: 'copied', x: 0, errno: 0 });
    if (!keep) {
      while (asked.length < 2) await nextTurn();
      c.answered({ type: 'punched', x: 0, errno: 0 });
    }
    t.match(await answer, { freed_pages: freed, kept: keep });
  }
});
