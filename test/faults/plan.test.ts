// A plan is checked as a config is: one clear line for each thing that is wrong with it, and where.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parsePlan } from '#src/config/fault_plan.js';
import { REPOSITORY } from '#src/config/fields.js';
import { ConfigError, loadConfigText } from '#src/config/load.js';
import { ExitError } from '#src/os/exit_error.js';

const CONFIG = '{ "exports": [{ "name": "swap0", "size": "64MiB", "image": "a.img" }] }';

function problems(plan: string, set: string[] = []): readonly string[] {
  const { config } = loadConfigText('c.jsonc', CONFIG, { set });
  try {
    parsePlan('p.jsonc', plan, config);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    if (error instanceof ExitError) return [error.message];
    throw error;
  }
}

const fault = (rest: string): string =>
  `{ "seed": 1, "faults": [\n{ "site": "image.write", "action": "EIO"${rest} }] }`;
const site = (name: string, action: string, rest = ''): string =>
  `{ "seed": 1, "faults": [{ "site": "${name}", "action": "${action}"${rest} }] }`;

const cases: [name: string, plan: string, expected: string | RegExp, set?: string[]][] = [
  ['syntax', '{\n "seed": 1\n "faults": [] }', 'p.jsonc:3:2: a comma is missing, allowed: JSON with comments'],
  ['not an object', '[]', 'p.jsonc:1:1: the plan is not an object, allowed: { "key": value }'],
  [
    'no seed',
    '{ "faults": [{ "site": "image.read", "action": "EIO" }] }',
    /^p\.jsonc:1:1: seed: is missing, allowed: an integer from 0 /,
  ],
  ['no faults', '{ "seed": 1, "faults": [] }', /^p\.jsonc:1:24: faults: is empty, allowed: a list of 1 to 256 objects/],
  [
    'unknown site',
    site('image.wirte', 'EIO'),
    /^p\.jsonc:1:35: faults\[0\]\.site: "image.wirte" .* "image.read", "image.write"/,
  ],
  [
    'unknown action',
    site('image.punch', 'lost'),
    'p.jsonc:1:60: faults[0].action: "lost" is no action of image.punch, allowed: EIO, latency',
  ],
  ['unknown key', fault(', "wehn": {}'), /^p\.jsonc:2:43: faults\[0\]\.wehn: unknown key, allowed: id, site, action, /],
  ['negative time', fault(', "at": "-5s"'), /^p\.jsonc:2:49: faults\[0\]\.at: "-5s" is not a valid time, /],
  [
    'absurd time',
    fault(', "for": "9000h"'),
    /^p\.jsonc:2:50: faults\[0\]\.for: "9000h" is not a valid time, .* to 10080m$/,
  ],
  [
    'no percentage',
    fault(', "when": { "probability": 101 }'),
    /when\.probability: 101 is not valid, allowed: a number from 0\.000001 to 100$/,
  ],
  ['slots the wrong way', fault(', "match": { "slots": "9-3" }'), /match\.slots: "9-3" is not a range of slots, /],
  [
    'slots beyond the end',
    fault(', "match": { "slots": "0-16384" }'),
    /match\.slots: ends at 16384, allowed: up to 16383, the last slot$/,
  ],
  ['unknown export', fault(', "match": { "export": "b" }'), /match\.export: "b" is no export, allowed: swap0$/],
  [
    'a filter that the site does not know',
    fault(', "match": { "connection": 1 }'),
    /match\.connection: is not known at image\.write, allowed: export, memcg, slots$/,
  ],
  [
    'a class that is too strict',
    site('image.write', 'lost', ', "class": "must-tolerate"'),
    /class: must-tolerate can't be claimed of image\.write lost, allowed: must-detect, may-lose$/,
  ],
  [
    'what nobody would notice',
    site('image.write', 'lost'),
    /must-detect can't be claimed of image\.write lost, which nobody notices with pool\.checksums: false, allowed: may-lose$/,
    ['pool.checksums=false'],
  ],
  ['a time that is missing', site('image.read', 'latency'), /with\.latency: is missing, allowed: a time with its unit/],
  [
    'an unknown extra',
    fault(', "with": { "latency": "1s" }'),
    /with\.latency: unknown key, image\.write EIO takes nothing$/,
  ],
  [
    'an unknown step',
    site('process.kill', 'kill', ', "with": { "step": "zz" }'),
    /with\.step: "zz" is not valid, allowed: /,
  ],
  [
    'a lane that is not there',
    site('process.lane', 'crash', ', "with": { "lane": 1 }'),
    /with\.lane: lane 1 is not there, allowed: 0 to 0$/,
    ['lanes=1'],
  ],
  [
    'no thread to stall',
    site('process.shrinker', 'stall'),
    /site: process\.shrinker has no thread of its own with lanes: 0, /,
    ['lanes=0'],
  ],
  [
    'a command that never comes',
    site('wire.reply', 'drop', ', "match": { "command": "flush" }'),
    /flush never comes with durability: "volatile"$/,
  ],
];

for (const [name, plan, expected, set] of cases) {
  t.test(name, async (t) => {
    const found = problems(plan, set);
    t.equal(found.length, 1, found.join('\n'));
    if (typeof expected === 'string') t.equal(found[0], expected);
    else t.match(found[0], expected);
  });
}

t.test('all that is wrong is told', async (t) => {
  const plan =
    '{ "seed": 1, "faults": [{ "site": "image.write", "action": "x" }, { "site": "image.read", "action": "y" }] }';
  t.equal(problems(plan).length, 2);
});

t.test('two faults that exclude each other are refused where one call could meet both', async (t) => {
  const pair = (a: string, b: string): readonly string[] =>
    problems(`{ "seed": 1, "faults": [{ "site": "image.write", ${a} }, { "site": "image.write", ${b} }] }`);
  const eio = '"action": "EIO"';
  t.match(pair(eio, '"action": "lost"'), [
    /faults\[1\]: can't happen to the call that faults\[0\] \(EIO\) happens to, allowed: /,
  ]);
  t.equal(pair(`${eio}, "for": "5s"`, '"action": "lost", "at": "4s"').length, 1);
  t.strictSame(pair(`${eio}, "for": "5s"`, '"action": "lost", "at": "5s"'), [], 'one after the other');
  t.strictSame(pair(eio, '"action": "latency", "with": { "latency": "1ms" }'), [], 'one slows the other down');
  t.strictSame(pair(`${eio}, "match": { "slots": "0-9" }`, '"action": "lost", "match": { "slots": "10-20" }'), []);
  t.equal(pair(`${eio}, "match": { "memcg": "a" }`, '"action": "lost", "match": { "memcg": "a/b" }').length, 1);
  t.strictSame(pair(`${eio}, "match": { "memcg": "a" }`, '"action": "lost", "match": { "memcg": "ab" }'), []);
  t.match(pair(`${eio}, "id": "a"`, `${eio}, "id": "a"`), [
    /faults\[1\]\.id: "a" is the id of faults\[0\] too, allowed: each id once$/,
  ]);
});

t.test('what is left out has its default, and the digest tells plans apart', async (t) => {
  const { config } = loadConfigText('c.jsonc', CONFIG);
  const { faults, seed, digest } = parsePlan(
    'p',
    `{ "seed": 7, "faults": [
    { "site": "image.write", "action": "EIO", "match": { "export": "swap0", "slots": "5" } },
    { "site": "process.shrinker", "action": "stall", "at": "2s", "for": "1m" }] }`,
    config,
  );
  t.match(faults, [
    {
      id: 'image.write#0',
      class: 'must-detect',
      at: 0,
      for: null,
      verbose: 1,
      match: { x: 0, slots: [5, 5] },
      when: { times: -1, nth: null },
    },
    { id: 'process.shrinker#1', at: 2000, for: 60_000, when: { times: 1 }, with: { stall: 500 } },
  ]);
  t.equal(seed, 7);
  t.match(digest, /^[0-9a-f]{16}$/);
  t.not(parsePlan('p', fault(''), config).digest, digest);
  t.equal(parsePlan('other', fault('  // note\n'), config).digest, parsePlan('p', fault(''), config).digest);
});

t.test('whatever a plan is edited to, it is a plan, or lines that say what is wrong', async () => {
  const standard = readFileSync(join(REPOSITORY, 'config/faults/standard.jsonc'), 'utf8');
  const words = fc.constantFrom(
    '"at"',
    '-',
    '9e99',
    '[',
    '}',
    '"site"',
    'null',
    '"',
    '"image.read"',
    '"with": { "latency": "1s" },',
  );
  const cut = fc.tuple(fc.nat(standard.length), fc.nat(80), words);
  const edited = cut.map(([at, length, word]) => standard.slice(0, at) + word + standard.slice(at + length));
  const said = (plan: string): boolean => problems(plan).every((line) => line.startsWith('p.jsonc:'));
  fc.assert(fc.property(edited, said), { numRuns: 300 });
  fc.assert(
    fc.property(fc.jsonValue(), (value) => said(JSON.stringify({ seed: 1, faults: value }))),
    { numRuns: 300 },
  );
  const near = fc.record({
    site: fc.constantFrom('image.write', 'process.kill', 'wire.reply', 1),
    action: fc.constantFrom('EIO', 'latency', 'kill', 'toString', '__proto__x', null),
    match: fc.jsonValue(),
    when: fc.jsonValue(),
    with: fc.jsonValue(),
    at: fc.jsonValue(),
  });
  fc.assert(
    fc.property(fc.array(near), (faults) => said(JSON.stringify({ seed: 1, faults }))),
    { numRuns: 300 },
  );
});
