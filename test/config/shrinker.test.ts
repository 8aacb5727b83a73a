// How the shrinker chooses: the newest kernel's way, that of a preset, or what is said.
import t from 'tap';
import { ConfigError, loadConfigText } from '#src/config/load.js';
import type { Config } from '#src/config/schema.js';
import { cursorWarning } from '#src/config/shrinker_options.js';

const load = (shrinker: object, preset?: string): Config => {
  const protocol = preset === undefined ? {} : { preset };
  return loadConfigText('c.jsonc', JSON.stringify({ shrinker, protocol, unsafe: true })).config;
};

function chosen(shrinker: object, preset?: string): unknown[] {
  const { heuristic, cursor, batch } = load(shrinker, preset).shrinker;
  return [heuristic, cursor, batch];
}

t.test('without a word it is the newest kernel', async (t) => {
  t.strictSame(chosen({}), ['second-chance', 'fixed', 32]);
  t.match(load({}).shrinker, { enabled: false, pressure: 10 });
});

const ERAS = {
  'v3.12': ['none', 'fixed', 1],
  'v3.13': ['none', 'fixed', 1],
  'v6.4': ['none', 'fixed', 1],
  'v6.8': ['protected', 'legacy', 1],
  'v6.9': ['protected', 'legacy', 1],
  'v6.13': ['second-chance', 'fixed', 1],
};
for (const [preset, wanted] of Object.entries(ERAS)) {
  t.test(`preset ${preset} says how its shrinker chose, unless it is said`, async (t) => {
    t.strictSame(chosen({}, preset), wanted);
    t.strictSame(chosen({ heuristic: 'none', cursor: 'fixed', batch: 7 }, preset), ['none', 'fixed', 7]);
    t.strictSame(chosen({ batch: 7 }, preset), [wanted[0], wanted[1], 7]);
  });
}

t.test('the older name of the heuristic goes on to work', async (t) => {
  t.equal(load({ secondChance: true }).shrinker.heuristic, 'second-chance');
  t.equal(load({ secondChance: false }).shrinker.heuristic, 'none');
  t.equal(load({ secondChance: false }, 'v6.8').shrinker.heuristic, 'none');
  t.equal(load({ secondChance: true, heuristic: 'second-chance' }).shrinker.heuristic, 'second-chance');
  t.notOk('secondChance' in load({ secondChance: true }).shrinker);
});

t.test('both names that say different things are refused', async (t) => {
  t.throws(() => load({ secondChance: true, heuristic: 'none' }), ConfigError);
  t.throws(() => load({ secondChance: true, heuristic: 'none' }), {
    message: /shrinker\.secondChance: true contradicts shrinker\.heuristic "none", allowed: shrinker\.heuristic alone/,
  });
});

t.test('a cursor that is unfair is told of, and needs no unsafe', async (t) => {
  const { config } = loadConfigText('c.jsonc', '{ "shrinker": { "cursor": "legacy" } }');
  t.match(cursorWarning(config), /^shrinker\.cursor legacy: .*keep all they have/);
  t.equal(cursorWarning(load({})), null);
  t.match(cursorWarning(load({}, 'v6.8')), /legacy/);
});

t.test('pressure is a percentage', async (t) => {
  for (const pressure of [0, 101, 1.5, '10%'])
    t.throws(() => load({ pressure }), /shrinker\.pressure: .*from 1 to 100/);
});
