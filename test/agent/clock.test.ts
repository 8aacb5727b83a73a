// What the agent knows of the server's clock, and how wrong that may be.
import t from 'tap';
import { Clock } from '#src/agent/clock.js';
import { encodeBatch, FLAG, HEADER_BYTES, type Records } from '#src/agent/wire.js';
import { Random } from '../support/random.ts';

/** A charge of slots 0, 1, ... at these times of ours. */
function records(...times: number[]): Records {
  const count = times.length;
  const slot = Uint32Array.from(times.keys());
  const slots = new Uint32Array(count).fill(1);
  return { count, slot, slots, cgroup: new Float64Array(count).fill(7), time: Float64Array.from(times) };
}

/** Times and error as the server reads them. */
function sent(
  { offset: clockOffset, error, flags = 0 }: { offset: number; error: number; flags?: number },
  ...times: number[]
): { error: number; times: number[] } {
  const header = { flags, session: 1n, sequence: 0, clockOffset, error, lost: 0 };
  const bytes = encodeBatch(header, [], records(...times));
  const time0 = Number(bytes.readBigUInt64LE(24));
  return {
    error: bytes.readUInt32LE(32),
    times: times.map((_, i) => time0 + bytes.readInt32LE(HEADER_BYTES + i * 20 + 16)),
  };
}

/** A server and a guest whose clocks go on as the test says, in µs. */
class Clocks {
  readonly clock = new Clock();
  guest = 5e6;
  server = 1e9;

  /** Time passes on both, or more of it on one of them. */
  pass(guest: number, server = guest): void {
    this.guest += guest;
    this.server += server;
  }

  exchange(there: number, back = there): void {
    const asked = this.guest;
    this.pass(there);
    const { server } = this;
    this.pass(back);
    this.clock.exchanged(asked, this.guest, server);
  }

  /** Now, on both clocks. */
  event(): { time: number; server: number } {
    return { time: this.guest, server: this.server };
  }
}

/** How far the event may be from what the clock says of it, and is. */
function judged(clock: Clock, event: { time: number; server: number }): { error: number; wrong: number } {
  const { offset, error } = clock.bound(records(event.time));
  return { error, wrong: Math.abs(event.time + offset - event.server) };
}

t.test('an event between two exchanges happened between what the server said at them', async (t) => {
  const clocks = new Clocks();
  clocks.exchange(100, 900);
  clocks.pass(10_000);
  const event = clocks.event();
  t.notOk(Number.isFinite(judged(clocks.clock, event).error), 'nothing is known of what came after the last one');
  clocks.pass(20_000);
  clocks.exchange(400);
  const { error, wrong } = judged(clocks.clock, event);
  t.ok(wrong <= error, `${wrong} µs`);
  t.ok(error <= (30_000 + 1000 + 400) / 2 + 2, `${error} µs`);
});

t.test('a guest that stood still for no longer than the exchanges took is known by no better than that', async (t) => {
  for (const [before, after, stop, age] of [
    [40e3, 2e3, 20e3, 1.5e6],
    [40e3, 40e3, 38e3, 1.5e6],
    [2e3, 0.5e3, 1.6e3, 2e6],
    [10e3, 1e3, 6e3, 1e6],
  ]) {
    const clocks = new Clocks();
    for (let i = 0; i < 5; i++) clocks.exchange(before / 2);
    clocks.pass(age);
    const event = clocks.event();
    clocks.pass(3e3);
    clocks.pass(0, stop);
    clocks.exchange(after / 2);
    const { error, wrong } = judged(clocks.clock, event);
    t.ok(wrong <= error, `stopped for ${stop} µs: ${wrong} µs wrong, said to be ${error} at most`);
  }
});

t.test('a guest whose clock jumped ahead says so also where the exchange after it was slow', async (t) => {
  const clocks = new Clocks();
  for (let i = 0; i < 5; i++) clocks.exchange(500);
  clocks.pass(1.5e6);
  clocks.pass(100e3, 0);
  const event = clocks.event();
  clocks.pass(5e3);
  clocks.exchange(110e3);
  const { error, wrong } = judged(clocks.clock, event);
  t.ok(wrong <= error, `${wrong} µs wrong, said to be ${error} at most`);
});

t.test('whatever the clocks do, an error is a bound', async (t) => {
  const random = new Random(7);
  const upTo = (most: number): number => (random.below(2 ** 20) / 2 ** 20) * most;
  for (let round = 0; round < 200; round++) {
    const clocks = new Clocks();
    const events: { time: number; server: number }[] = [];
    for (let step = 0; step < 40; step++) {
      const what = upTo(1);
      // Slewed, stopped, ahead.
      if (what < 0.5) clocks.pass(upTo(1e5), upTo(2e5));
      else if (what < 0.6) clocks.pass(0, upTo(1e6));
      else if (what < 0.7) clocks.pass(upTo(1e6), 0);
      else clocks.exchange(upTo(5e4), upTo(5e4));
      events.push(clocks.event());
    }
    clocks.exchange(100);
    const unsound = events.filter((event) => {
      const { error, wrong } = judged(clocks.clock, event);
      return wrong > error;
    });
    const of = clocks.clock.bound(records(...events.map(({ time }) => time)));
    const beyond = events.filter(({ time, server }) => Math.abs(time + of.offset - server) > of.error);
    if (unsound.length + beyond.length > 0) t.fail(`round ${round}`, { unsound, beyond });
  }
  t.pass();
});

t.test('of what was before the first exchange nothing is known but that it has been', async (t) => {
  const clocks = new Clocks();
  const event = clocks.event();
  clocks.pass(1e3, 3600e6);
  clocks.exchange(100);
  const { offset, error } = clocks.clock.bound(records(event.time));
  t.ok(event.time + offset - error <= 0, 'it may have been before anything that the server has seen');
  t.ok(event.time + offset + error <= clocks.server + 3, 'and was before the answer');
  clocks.clock.forget();
  clocks.server = 1000;
  clocks.exchange(100);
  t.ok(judged(clocks.clock, clocks.event()).error > 1e12, 'another server has another clock');
});

t.test('a server whose time goes back is another one', async (t) => {
  const clocks = new Clocks();
  clocks.exchange(100);
  clocks.pass(1000);
  clocks.server = 500;
  const { time } = clocks.event();
  clocks.exchange(100);
  const { offset, error } = clocks.clock.bound(records(time));
  t.ok(time + offset - error <= 0, 'what the one before has said holds no more');
  t.ok(error > 0);
});

t.test('exchanges are remembered for as long as records wait, and no longer', async (t) => {
  const clocks = new Clocks();
  clocks.exchange(100);
  clocks.pass(1000);
  const event = clocks.event();
  for (let i = 0; i < 45; i++) clocks.exchange(100);
  t.ok(judged(clocks.clock, event).error < 1000, 'all batches that wait, and one more exchange for each');
  for (let i = 0; i < 1000; i++) clocks.exchange(100);
  const { error, wrong } = judged(clocks.clock, event);
  t.ok(wrong <= error);
});

t.test('an error that is too long for its field moves the times down instead', async (t) => {
  const second = 1e6;
  const short = sent({ offset: 20_000 * second, error: 10 }, second, 2 * second);
  t.same(short, { error: 10, times: [20_001 * second, 20_002 * second] });
  const long = sent({ offset: 20_000 * second, error: 5000 * second }, second, 2 * second);
  t.equal(long.error, 0xffffffff);
  t.same(
    long.times.map((time) => time - long.error),
    [15_001 * second, 15_002 * second],
  );
  // Of what was seen the server asks for a time and its error, and not for one less its error.
  const seen = sent({ offset: 20_000 * second, error: 5000 * second, flags: FLAG.seen }, second, 2 * second);
  t.same(
    seen.times.map((time) => time + seen.error),
    [25_001 * second, 25_002 * second],
  );
});

t.test('times before the beginning of the server keep their distances', async (t) => {
  t.same(sent({ offset: -5e6, error: 1 }, 1e6, 7e6), { error: 1, times: [-4e6, 2e6] });
  const unknown = sent({ offset: 1e9, error: Number.POSITIVE_INFINITY }, 1e6, 7e6);
  t.ok(
    unknown.times.every((time) => time - unknown.error < 0),
    'of a clock that nobody knows all may be from ever',
  );
});

t.test('a coarse clock does not tell what came first in one of its ticks', async (t) => {
  const c = new Clocks();
  c.exchange(100);
  c.pass(10_000);
  let asked = c.guest;
  c.pass(10_000);
  const before = c.event();
  c.pass(0, 3000);
  c.clock.exchanged(asked, c.guest, c.server);
  c.pass(10_000);
  asked = c.guest;
  const said = c.server;
  c.pass(0, 3000);
  const after = c.event();
  c.pass(10_000);
  c.clock.exchanged(asked, c.guest, said);
  c.pass(10_000);
  c.exchange(100);
  for (const [what, event] of Object.entries({ before, after })) {
    const { error, wrong } = judged(c.clock, event);
    t.ok(wrong <= error, `${what} what the server said: ${wrong} of ${error}`);
  }
});
