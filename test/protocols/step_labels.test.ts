// The step labels that a config may name are those that the protocols pass, written as plain strings.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { STEP_LABELS } from '#src/protocols/steps.js';

const SOURCE = fileURLToPath(new URL('../../../src', import.meta.url));

/** What each call of sync.step() is given, as it is written. */
function calls(): string[] {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return files.flatMap((name) =>
    [...readFileSync(join(SOURCE, name), 'utf8').matchAll(/\bsync\.step\(\s*([^)]*?),?\s*\)/g)].map(
      ([, given]) => given,
    ),
  );
}

t.test('each step is named by a plain string', async (t) => {
  t.same(
    calls().filter((given) => !/^'[^']+'$/.test(given)),
    [],
  );
});

t.test('the list has each label that is passed, once, and no other', async (t) => {
  const passed = new Set(calls().map((given) => given.slice(1, -1)));
  t.same([...STEP_LABELS].sort(), [...passed].sort());
});
