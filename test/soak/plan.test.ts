// The plan that a soak applies, made from the one that it was given.
import t from 'tap';
import type { SoakOptions } from '#src/soak/options.js';
import { planOf, WITNESS } from '#src/soak/plan.js';

const o = (text?: string): SoakOptions => ({
  ...{ ms: 1000, seed: 7, rate: Number.POSITIVE_INFINITY, guest: false, set: [], again: '' },
  ...(text === undefined ? {} : { faults: { path: 'p', text } }),
});
const ONE = '{ "seed": 1, "faults": [ { "site": "image.read", "action": "EIO" }, /* no more */ ] }';

t.test('a plan goes to the server as it is', async (t) => {
  t.match(planOf(o(ONE), false), { text: ONE, declared: 1, witnessed: false });
  t.equal(planOf(o(), false), null);
});

t.test('beside a strict server stands a witness', async (t) => {
  const plan = planOf(o(ONE), true)!;
  t.match(plan, { declared: 1, witnessed: true });
  t.match(JSON.parse(plan.text), { seed: 1, faults: [{ site: 'image.read' }, { id: WITNESS }] });
  t.match(planOf(o(), true), { declared: 0, witnessed: true });
});

t.test('what is no plan, or none as a whole, is for the server to refuse', async (t) => {
  for (const text of [
    '',
    '[]',
    '{"seed": 1}',
    '{"seed": 1, "faults": []}',
    ONE.replace(', /*', ' nonsense /*'),
    ONE.slice(0, 60),
  ]) {
    for (const strict of [false, true]) t.equal(planOf(o(text), strict)?.text, text, text);
  }
});
