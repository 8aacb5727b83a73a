// When ./scripts/vm --restart lets a server go, and what it makes of one that does not come again.
import t from 'tap';
import { parseOptions } from '#src/scripts/guest/options.js';
import { Report } from '#src/scripts/guest/report.js';
import { RestartPlan } from '#src/scripts/guest/restarts.js';
import type { Restarted } from '#src/scripts/guest/server.js';

const PAGES_BETWEEN = 2000;

function planned(restart: () => Promise<Restarted>, times: number) {
  const report = new Report();
  const server = {
    endpoint: { name: 'x', address: { path: 'x' } },
    child: undefined,
    restart,
    stop: async () => undefined,
  };
  const plan = new RestartPlan({ times, server, log: () => undefined, report });
  let pages = 0;
  const swap = async (full: boolean): Promise<void> => {
    pages += PAGES_BETWEEN;
    report.take(`VM PROGRESS pswpout=${pages} pswpin=0`);
    plan.progress(full);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { plan, swap };
}

t.test('a restart comes under load, when the guest has swapped on after the one before, and so often', async (t) => {
  let restarts = 0;
  const { plan, swap } = planned(async () => ({ ms: ++restarts * 1000, version: 'v' }), 3);
  await swap(false);
  t.equal(restarts, 0, 'its memory is not filled');
  await swap(true);
  plan.progress(true);
  t.equal(restarts, 1, 'without traffic there is no second');
  for (let i = 0; i < 5; i++) await swap(true);
  t.equal(restarts, 3);
  t.match(await plan.finish(), /^3 restarts, versions v: no server for 1\.0\/2\.0\/3\.0 s/);
  t.same(plan.problems, []);
});

t.test('too few restarts, and one that failed, are problems', async (t) => {
  const few = planned(async () => ({ ms: 1, version: 'v' }), 3);
  await few.swap(true);
  await few.plan.finish();
  t.same(few.plan.problems, ['the guest was done after 1 of 3 restarts']);
  const failed = planned(() => Promise.reject(new Error('no')), 3);
  for (let i = 0; i < 3; i++) await failed.swap(true);
  await failed.plan.finish();
  t.same(failed.plan.problems, ['restart 1: no']);
});

t.test('a volatile server that is killed is one that the guest has to notice', async (t) => {
  t.match(parseOptions(['--restart', 'kill']), { restart: 'kill', times: 3, break: undefined });
  t.match(parseOptions(['--restart', 'kill', '--set', 'durability=volatile']), { restart: 'kill', break: 'kill' });
  t.match(parseOptions(['--restart', 'clean', '--set', 'durability=volatile']), { break: undefined });
  for (const bad of [
    ['--restart', 'x'],
    ['--times', '2'],
    ['--restart', 'kill', '--times', '0'],
    ['--restart', 'kill', '--memcg'],
  ])
    t.throws(() => parseOptions(bad), { message: /allowed are|a number from|is for our own server/ });
});
