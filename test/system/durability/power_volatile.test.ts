/**
 * A volatile server promises nothing to a machine that loses its power, but that what it leaves is never taken for more: its image is
 * refused, or as whole as if nothing had happened. As power_loss.test.ts for strict ones. One way around in a plain run.
 */
import t, { type Test } from 'tap';
import { failedStart } from '../../support/one_thread.ts';
import { type LifeOptions, Lives } from '../../support/power/life.ts';
import { Machine } from '../../support/power/machine.ts';
import { untraceable } from '../../support/power/strace.ts';
import { chooseSeed, Random } from '../../support/random.ts';
import { MIB } from './images.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const ROUNDS = LONG ? 12 : 1;
const seed = LONG ? chooseSeed() : 1;
const random = new Random(seed);
const skip = untraceable();
t.setTimeout(ROUNDS * 120_000);
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);

const VOLATILE = { durability: 'volatile', operations: LONG ? 400 : 60, set: ['pool.max=1MiB', 'lanes=0'] } as const;

/** Until a loss is drawn after which a start is refused: most are. */
async function untilStale(t: Test, lives: Lives, o: LifeOptions): Promise<void> {
  for (;;) {
    t.same((await lives.live(t, o)).faults, []);
    if (lives.loseAnywhere().start === 'refused') return;
  }
}

t.test('refused, reset, and served again', { skip }, async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const lives = new Lives(new Machine(t, { size: 2 * MIB, attributes: random.chance(0.5) }), random);
    if (LONG) t.same((await lives.live(t, { ...VOLATILE, ending: 'stop' })).faults, [], 'a clean stop');
    await untilStale(t, lives, { ...VOLATILE, ending: 'kill' });
    t.match(await failedStart(t, lives.machine.options()), { code: 3, stderr: /stale, because its last server/ });
    const reset = await lives.reset(t);
    t.same(reset.faults, [], `a reset: ${reset.cuts} cuts`);
    t.not(reset.starts.refused, 0);
    lives.loseAnywhere(true);
    t.same((await lives.live(t, { ...VOLATILE, ending: 'stop' })).faults, []);
    t.equal(lives.loseAnywhere(true).start, 'clean', 'a clean stop outlives a loss of power');
    if (LONG) t.same((await lives.live(t, { ...VOLATILE, ending: 'stop' })).faults, []);
  }
});

t.test('a start that discards what is stale, or takes it', { skip: LONG ? skip : 'with ZSWAPD_LONG=1' }, async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const lives = new Lives(new Machine(t, { size: 2 * MIB, attributes: random.chance(0.5) }), random);
    const how = (['reset', 'serve'] as const)[round % 2];
    const durability = random.chance(0.5) ? 'strict' : 'volatile';
    await untilStale(t, lives, { ...VOLATILE, ending: 'kill' });
    lives.takeStale(how);
    const set = [...VOLATILE.set, `exports[0].onUnclean=${how}`];
    const ending = random.chance(0.5) ? 'kill' : 'stop';
    t.same(
      (await lives.live(t, { ...VOLATILE, durability, set, ending })).faults,
      [],
      `${how}, ${durability}, ${ending}`,
    );
  }
});

t.test('strict, then volatile, then strict', { skip: LONG ? skip : 'with ZSWAPD_LONG=1' }, async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const lives = new Lives(new Machine(t, { size: 2 * MIB, attributes: random.chance(0.5) }), random);
    const strict = { ...VOLATILE, durability: 'strict' } as const;
    t.same((await lives.live(t, { ...strict, ending: 'kill' })).faults, []);
    if (random.chance(0.5)) lives.goOn();
    else lives.loseAnywhere();
    const ending = random.chance(0.5) ? 'kill' : 'stop';
    t.same((await lives.live(t, { ...VOLATILE, ending })).faults, [], `volatile, ${ending}`);
    lives.loseAnywhere();
    if (lives.stale) t.same((await lives.reset(t)).faults, [], 'a reset');
    if (lives.stale) continue;
    t.same((await lives.live(t, { ...strict, ending: 'kill' })).faults, []);
    lives.loseAnywhere();
    t.same((await lives.reset(t)).faults, [], 'a reset of what could be served');
  }
});
