// The plan that every server survives: for a minute, at a rate that leaves the processor to others, and with --long for ten, as
// fast as it goes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { run } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

const MAIN = join(REPOSITORY, 'dist/main.js');
const skip = process.env.ZSWAPD_LONG === '1' ? false : 'with --long';

for (const [time, rate, isSkipped] of [
  ['60s', ['--rate', '30'], false],
  ['10m', [], skip],
] as const) {
  t.test(`a soak of ${time} under the standard plan passes`, { skip: isSkipped }, async (t) => {
    const folder = join(tempFolder(t), 'r');
    const plan = join(REPOSITORY, 'config/faults/standard.jsonc');
    const args = ['soak', '--time', time, ...rate, '--faults', plan, '--report', folder];
    const { code, stdout, stderr } = await run(MAIN, args);
    t.match(stdout, /^soak: PASS wrong=0 lost=0 leaked=0 unaccounted=0 report=[^\n]*\n$/, stderr);
    t.equal(code, 0, stderr);
    const end = JSON.parse(readFileSync(join(folder, 'soak.jsonl'), 'utf8').trim().split('\n').at(-1)!);
    t.match(end, { type: 'end', verdict: 'PASS' });
    t.comment(stdout.trim());
  });
}

const DAMAGE = [
  { site: 'pool.object', action: 'flip', when: { probability: 0.5 } },
  { site: 'image.write', action: 'lost', when: { probability: 2 } },
];
const CRASH = [{ site: 'process.lane', action: 'crash', class: 'may-lose', at: '4s' }];

for (const [what, faults] of [
  ['pages are damaged', DAMAGE],
  ['its process ends', CRASH],
] as const) {
  t.test(`a strict server of which ${what}, and which is killed in the end`, { skip }, async (t) => {
    const folder = tempFolder(t);
    const plan = join(folder, 'plan.json');
    writeFileSync(plan, JSON.stringify({ seed: 1, faults }));
    const args = [
      'soak',
      '--time',
      '14s',
      '--set',
      'durability=strict',
      '--faults',
      plan,
      '--report',
      join(folder, 'r'),
    ];
    const { stdout, stderr } = await run(MAIN, args);
    t.match(stdout, /^soak: PASS wrong=0 lost=0 leaked=0 unaccounted=0 /, stderr);
  });
}
