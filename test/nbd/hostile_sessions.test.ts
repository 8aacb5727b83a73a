/**
 * Hostile clients made from the grammar of the protocol, against the server on every kind of socket that it takes: whatever
 * they send, it answers nothing that the specification forbids, and all that it owes, lets go of who has left, tells nobody
 * what another has written, and a client beside them reads what it wrote.
 *
 * The seed of a run is printed; a failure is one line that plays it again, and the session, which is to be kept in
 * test/support/hostile/kept.ts; ZSWAPD_SHRINK=1 looks for a smaller one. ZSWAPD_LONG=1 plays many and longer ones.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import { sessions } from '../support/hostile/grammar.ts';
import { KEPT } from '../support/hostile/kept.ts';
import { play } from '../support/hostile/play.ts';
import type { Session } from '../support/hostile/session.ts';
import { startTargets } from '../support/hostile/targets.ts';
import { chooseSeed } from '../support/random.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const RUNS = Number(process.env.ZSWAPD_RUNS ?? (LONG ? 20_000 : 350));
/** A smaller session that fails as well is looked for when asked for: each try of one that hangs takes seconds. */
const SHRINK = process.env.ZSWAPD_SHRINK === '1';
const ROUND_MS = 10_000;
const DEPTH = LONG ? 4 : 1;

t.setTimeout(900_000);

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Fails with an error where it would take for ever. */
async function within(work: Promise<void>): Promise<void> {
  const tooLong = new AbortController();
  const limit = delay(ROUND_MS, undefined, { ref: false, signal: tooLong.signal }).then(() => {
    throw new Error('the client beside it gets no answer');
  });
  await Promise.race([work, limit]);
  tooLong.abort();
  await limit.catch(() => undefined);
}

t.test('hostile sessions', async (t) => {
  const { all, steady } = await startTargets(t);
  const seed = chooseSeed();
  const { ZSWAPD_PATH } = process.env;
  t.comment(`ZSWAPD_SEED=${seed}`);
  const problemOf = async (session: Session): Promise<string | null> => {
    const [problem] = await Promise.all([play(all[session.server], session), within(steady.round())]);
    return problem ?? (steady.wrong > 0 ? 'the client beside it reads what it has not written' : null);
  };
  await steady.round();
  for (const { fault, session } of KEPT) t.equal(await problemOf(session), null, fault);
  const before = descriptors();
  let begun = 0;
  let finished = false;
  t.teardown(() => {
    // What throws in a callback of the server ends the test from outside.
    if (!finished) t.comment(`it threw: ZSWAPD_SEED=${seed} ZSWAPD_PATH=${begun - 1}`);
  });
  const property = fc.asyncProperty(sessions(all.length, DEPTH), async (session) => {
    begun++;
    const problem = await problemOf(session);
    if (problem !== null) throw new Error(problem);
  });
  const path = ZSWAPD_PATH === undefined ? {} : { path: ZSWAPD_PATH };
  const result = await fc.check(property, { seed, numRuns: RUNS, endOnFailure: !SHRINK, ...path });
  finished = true;
  if (result.failed) {
    const again = `ZSWAPD_SEED=${seed} ZSWAPD_PATH=${result.counterexamplePath}${LONG ? ' ZSWAPD_LONG=1' : ''}`;
    t.fail(`${again} node dist/test/nbd/hostile_sessions.test.js: ${(result.errorInstance as Error).message}`);
    t.comment(JSON.stringify(result.counterexample?.[0]));
  }
  t.ok(descriptors() <= before, 'no descriptor is left');
  t.same(
    all.map(({ device }) => (device === null ? 0 : device.held + device.waiters)),
    all.map(() => 0),
    'devices are left with nothing',
  );
});
