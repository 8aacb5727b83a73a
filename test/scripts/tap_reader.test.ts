// The reader of TAP against what tap itself prints and counts, and against output that ends early.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { TapReader } from '#src/scripts/testing/tap_reader.js';
import { tempFolder } from '../support/tmp.ts';

function read(lines: readonly string[]): TapReader {
  const reader = new TapReader();
  for (const line of lines) reader.line(line);
  return reader;
}

/** Runs a test file for real; `import t` stands before the body. */
function readFile(t: Test, body: string): { reader: TapReader; trailer: string | undefined } {
  const file = join(tempFolder(t), 'some.test.mjs');
  writeFileSync(file, `import t from ${JSON.stringify(import.meta.resolve('tap'))};\n${body}`);
  const { stdout } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
  const lines = stdout.split('\n');
  return { reader: read(lines), trailer: lines.find((line) => line.startsWith('# {')) };
}

t.test('assertions are counted in nested, skipped and failing subtests', async (t) => {
  const { reader, trailer } = readFile(
    t,
    `t.test('outer', (t) => {
      t.test('inner # hash', async (t) => { t.ok(true); t.equal(1, 2, 'one'); });
      t.test('left out', { skip: 'no tool' }, async () => {});
      t.end();
    });
    t.pass('last');`,
  );
  // tap adds the failed line of a subtest within a subtest to its failures, so that number is not ours.
  t.match(trailer, /\bpass: 2, fail: \d, skip: 1 }/);
  t.match(reader.tally, { passed: 2, failed: 1, skipped: [{ what: 'outer > left out', reason: 'no tool' }] });
  t.same(
    reader.failures.map(({ name }) => name),
    ['outer > inner # hash > one'],
  );
  t.match(reader.failures[0].details.join('\n'), /-1|\+1|-2|\+2/, 'and the difference is kept');
  t.ok(reader.complete);
});

t.test('an error that is thrown is one failure', async (t) => {
  const { reader } = readFile(t, `t.test('throws', async () => { throw new Error('bang'); });`);
  t.match(reader.tally, { passed: 0, failed: 1 });
  t.match(reader.failures, [{ name: 'throws > bang' }]);
});

t.test('subtests in braces', async (t) => {
  const { reader, trailer } = readFile(
    t,
    `t.jobs = 2;
    t.test('a', { buffered: true }, async (t) => { t.pass('x'); t.fail('y'); });
    t.test('b', { buffered: true }, async (t) => t.pass('z'));`,
  );
  t.match(trailer, '{ total: 3, pass: 2, fail: 1 }');
  t.match(reader.tally, { passed: 2, failed: 1, skipped: [] });
  t.match(reader.failures, [{ name: 'a > y' }]);
});

t.test('a whole file that is skipped gives its reason', async (t) => {
  t.match(readFile(t, `t.plan(0, 'not here');`).reader.tally.skipped, [{ reason: 'not here' }]);
});

t.test('a subtest without assertions passes by not throwing', async (t) => {
  t.match(readFile(t, `t.test('quiet', async () => {});`).reader.tally, { passed: 1, failed: 0 });
});

t.test('a verdict that nothing inside explains is a failure', async (t) => {
  t.match(read(['# Subtest: a', '    ok 1 - x', '    1..2', 'not ok 1 - a # time=3ms', '1..1']).tally, {
    passed: 1,
    failed: 1,
  });
  t.match(read(['not ok 1 - a # time=3ms {', '    ok 1 - x', '    1..2', '}', '1..1']).tally, { passed: 1, failed: 1 });
  t.match(read(['Bail out! no memory']).tally, { failed: 1 });
});

t.test('output that ends early is not complete, and tells where it ended', async (t) => {
  const reader = read(['# Subtest: a', '    # Subtest: b', '        ok 1 - x']);
  t.notOk(reader.complete);
  t.equal(reader.running, 'a > b');
});

t.test('results quoted in a diagnostic block do not count', async (t) => {
  const reader = read(['not ok 1 - a', '  ---', '  found: |', '    not ok 7 - quoted', '  ...', 'ok 2 - b', '1..2']);
  t.match(reader.tally, { passed: 1, failed: 1 });
  t.same(reader.failures[0].details, ['found: not ok 7 - quoted']);
});
