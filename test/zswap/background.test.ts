// The background shrinker: pages leave while the host is short of memory, a share of each memcg at a time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import t from 'tap';
import { type Loop, NODE_LOOP } from '#src/os/loop.js';
import { Pressure } from '#src/os/pressure.js';
import { noteSwapins } from '#src/pool/held_back.js';
import type { Heuristic } from '#src/pool/policies.js';
import { checkLists, MIB, makePage } from '../support/pool.ts';
import { type BenchOptions, ShrinkerBench } from '../support/shrinker_bench.ts';

const THRESHOLD = 10;
const PAGES = 1000;
const psi = (avg10: number): string =>
  `some avg10=${avg10.toFixed(2)} avg60=99.00 avg300=99.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`;

interface Host {
  readonly b: ShrinkerBench;
  /** The host's pressure from now on, null: the file is gone. */
  set(avg10: number | null): void;
  /** The time of the next poll has come. */
  poll(): void;
  readonly unreadable: string[];
}

/** Two memcgs of 1000 pages each, and a file in place of /proc/pressure/memory. */
function host(
  t: Test,
  heuristic: Heuristic,
  over: Partial<BenchOptions> = {},
  kind: 'random' | 'text' = 'random',
): Host {
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-psi-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'memory');
  const unreadable: string[] = [];
  const memory = new Pressure(path, (why) => unreadable.push(why));
  const timers: { ms: number; task: () => void }[] = [];
  const loop: Loop = {
    ...NODE_LOOP,
    // Its turns are those that a test makes.
    defer: () => undefined,
    every: (ms, task) => {
      timers.push({ ms, task });
      return { cancel: () => undefined };
    },
  };
  const exports = [0, 1].map((x) => ({ name: `${x}`, pages: 4096, memcg: x }));
  const memcgs = ['a', 'b'].map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: true }));
  const b = new ShrinkerBench(t, {
    ...{ exports, memcgs, heuristic, shrinkerEnabled: true, poolBytes: 16 * MIB, acceptBytes: 15 * MIB },
    ...{ buffers: 4096, batch: 8, loop, isPressed: () => memory.percent() >= THRESHOLD },
    ...over,
  });
  for (let slot = 0; slot < PAGES; slot++) for (const x of [0, 1]) b.write(slot, makePage(kind, slot * 2 + x), x);
  const set = (avg10: number | null): void => (avg10 === null ? rmSync(path) : writeFileSync(path, psi(avg10)));
  const poll = (): void => timers.find(({ ms }) => ms === 1000)?.task();
  set(0);
  return { b, set, poll, unreadable };
}

const left = ({ b }: Host): number[] => [1, 2].map((m) => b.shared.lru.count[m]);

/** Looks until one more changes nothing. */
function settle(h: Host): void {
  for (let before = -1; before !== h.b.count('written_back_pages'); ) {
    before = h.b.count('written_back_pages');
    h.b.shrinker.look();
    for (const image of h.b.images) image.endAll();
  }
}

t.test('nothing leaves below the threshold; from there on each poll takes a 64th of each memcg', async (t) => {
  const h = host(t, 'none');
  h.set(THRESHOLD - 0.01);
  h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES, PAGES]);
  h.set(THRESHOLD);
  h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES - 16, PAGES - 16]);
  t.equal(h.b.count('pressure_written_back'), 32);
  settle(h);
  t.equal(h.b.count('pressure_written_back'), 32, 'until the next poll');
  for (let i = 0; i < 400; i++) {
    h.poll();
    settle(h);
  }
  t.strictSame(left(h), [0, 0], 'a pressure that stays empties the pool');
  checkLists(h.b.shared);
});

for (const heuristic of ['none', 'second-chance'] as const) {
  t.test(`${heuristic}: a minute of pressure empties a list, however well it compresses`, async (t) => {
    const h = host(t, heuristic, { buffers: 4096 }, 'text');
    h.set(THRESHOLD);
    for (let second = 1; second <= 64; second++) {
      h.poll();
      settle(h);
      const [some] = left(h);
      if (second <= 32) t.ok(some >= PAGES / 2 - 16, `${some} after ${second} s`);
    }
    t.strictSame(left(h), [0, 0]);
    checkLists(h.b.shared);
  });
}

t.test('a turn begins with a few memcgs only, however many have nothing to give', async (t) => {
  const empty = 40;
  const exports = Array.from({ length: empty + 2 }, (_, x) => ({
    name: `${x}`,
    pages: 4096,
    memcg: x < 2 ? empty + x : x - 2,
  }));
  const memcgs = exports.map(({ name }) => ({ name: `m${name}`, max: Number.MAX_SAFE_INTEGER, writeback: true }));
  const h = host(t, 'none', { exports, memcgs });
  h.set(THRESHOLD);
  h.poll();
  h.b.shrinker.look();
  t.equal(h.b.count('pressure_written_back'), 0);
  for (let i = 0; i < 10; i++) h.b.shrinker.look();
  t.equal(h.b.count('pressure_written_back'), 32);
});

t.test('shrinker_enabled off: nobody asks how the host is', async (t) => {
  const h = host(t, 'none', { shrinkerEnabled: false });
  h.set(null);
  h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES, PAGES]);
  t.strictSame(h.unreadable, []);
});

t.test('a host that does not tell its pressure has none, which is said once', async (t) => {
  const h = host(t, 'none');
  h.set(null);
  for (let i = 0; i < 3; i++) h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES, PAGES]);
  t.equal(h.unreadable.length, 1);
  t.match(h.unreadable[0], /ENOENT/);
  h.set(THRESHOLD);
  h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES - 16, PAGES - 16]);
});

t.test('a text that is no pressure is said as well', async (t) => {
  const said: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'zswapd-psi-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'memory'), 'full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n');
  t.equal(new Pressure(join(folder, 'memory'), (why) => said.push(why)).percent(), 0);
  t.match(said, [/no line/]);
});

t.test('a memcg without writeback gives nothing, and its swap-ins are kept', async (t) => {
  const memcgs = ['a', 'b'].map((name) => ({ name, max: Number.MAX_SAFE_INTEGER, writeback: name === 'b' }));
  const h = host(t, 'second-chance', { memcgs });
  noteSwapins(h.b.z.lru, 1, 10);
  h.set(THRESHOLD);
  for (let i = 0; i < 70; i++) {
    h.poll();
    settle(h);
  }
  t.equal(left(h)[0], PAGES);
  t.equal(h.b.shared.lru.heldBack[1], 10);
  t.ok(left(h)[1] < PAGES);
});

t.test('second-chance: a round passes by what it meets for the first time', async (t) => {
  const h = host(t, 'second-chance');
  h.set(THRESHOLD);
  h.poll();
  settle(h);
  t.strictSame(left(h), [PAGES, PAGES]);
  const rounds = Math.ceil(PAGES / 16) + 1;
  for (let i = 1; i < rounds; i++) {
    h.poll();
    settle(h);
  }
  t.ok(left(h)[0] < PAGES, 'after one round over the list pages go');
});

t.test('protected: the background takes what is not protected, a limit takes the rest', async (t) => {
  const h = host(t, 'protected');
  h.set(THRESHOLD);
  const held = h.b.shared.lru.heldBack[1];
  t.ok(held > PAGES / 10);
  for (let i = 0; i < 400; i++) {
    h.poll();
    settle(h);
  }
  const [stays] = left(h);
  t.ok(stays >= held && stays <= held + 16, `${stays} of ${PAGES} stay, ${held} are protected`);
  h.b.shared.control[2] = 1;
  const before = h.b.count('pressure_written_back');
  settle(h);
  t.ok(left(h)[0] < stays);
  t.equal(h.b.count('pressure_written_back'), before);
});

// The last one of a batch as well.
for (const slot of [3, 7]) {
  t.test(`a page in use ends the turn of its memcg: slot ${slot}`, async (t) => {
    const h = host(t, 'none');
    const r = h.b.lanes[1].zswap.tryPin(0, slot);
    h.set(THRESHOLD);
    h.poll();
    settle(h);
    t.strictSame(left(h), [PAGES - slot, PAGES - 16]);
    h.b.lanes[1].zswap.unpin(r);
  });
}

t.test('protected: what comes back from the image meanwhile ends the turn of its memcg', async (t) => {
  const h = host(t, 'protected', { batch: 1 });
  h.set(THRESHOLD);
  h.poll();
  h.b.shrinker.look();
  const [gave] = left(h);
  t.ok(gave < PAGES && gave > PAGES - 16, 'it is at work');
  noteSwapins(h.b.z.lru, 1, PAGES);
  settle(h);
  t.equal(left(h)[0], gave);
  t.ok(left(h)[1] < PAGES);
});

t.test('an image that stalls holds up its own memcg alone, and only until the next poll', async (t) => {
  const h = host(t, 'none', { buffers: 32 });
  h.set(THRESHOLD);
  const look = (): void => {
    for (let i = 0; i < 5; i++) {
      h.b.shrinker.look();
      h.b.images[1].endAll();
    }
  };
  for (let i = 0; i < 12; i++) {
    h.poll();
    look();
  }
  const [a, b] = left(h);
  t.ok(PAGES - a <= 32, `${a}`);
  t.ok(PAGES - b > 64, `${b}`);
});
