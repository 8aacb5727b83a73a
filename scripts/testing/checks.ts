// The stages that look at the source: each is one program, and counts as one.
import { join } from 'node:path';
import { run } from './command.ts';
import type { Stage } from './stage.ts';
import { newTally } from './tally.ts';

function check(name: string, title: string, args: readonly string[]): Stage {
  return {
    name,
    title,
    run: async (say) => {
      const ending = await run({
        args: [process.execPath, ...args],
        timeoutSeconds: 120,
        onStdout: say,
        onStderr: say,
      });
      const tally = newTally();
      if (ending.code === 0) {
        tally.passed = 1;
      } else {
        tally.failed = 1;
        say(`not ok: ${name}: ${ending.description}`);
      }
      return tally;
    },
  };
}

/** The programs are started by their files: npx looks around first, and prints warnings about it. */
export function checkStages(root: string): Stage[] {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  return [
    check('lint', 'format and lint (biome)', [biome, 'ci', '--colors=off', '--max-diagnostics=20']),
    check('tidy', 'rules of this repository (scripts/tidy.ts)', [join(root, 'dist/scripts/tidy.js')]),
  ];
}
