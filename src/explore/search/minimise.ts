/**
 * From a failing run to the one that is shown: choices that the finding does not need are taken out, and the rest is run
 * twice more. A schedule that does not give the same finding each time would be worthless, so that is a fault of ours.
 */
import type { Engine } from '../engine.ts';
import { type Choice, type Outcome, PLAIN_RUN } from '../run.ts';
import { isShorter } from '../schedule/strategies.ts';

export function minimise(engine: Engine, failure: Outcome): Outcome {
  let best = record(engine, failure.schedule);
  for (let at = 0; at < best.schedule.length; ) {
    const without = best.schedule.filter((_, i) => i !== at);
    const outcome = engine.run({ ...PLAIN_RUN, schedule: without });
    // What a run did is its schedule: one that diverged from the shortened list has made another one, and that counts.
    if (outcome.finding?.kind === failure.finding?.kind && isShorter(outcome, best)) {
      best = record(engine, outcome.schedule);
      at = 0;
    } else at++;
  }
  return best;
}

/** Runs a schedule twice, with everything that a report shows. */
export function record(engine: Engine, schedule: readonly Choice[]): Outcome {
  const first = engine.run({ ...PLAIN_RUN, schedule, verbose: true });
  const second = engine.run({ ...PLAIN_RUN, schedule, verbose: true });
  if (JSON.stringify(first) !== JSON.stringify(second)) {
    throw new Error(`explorer: a schedule does not replay: ${JSON.stringify(first)} and ${JSON.stringify(second)}`);
  }
  return first;
}
