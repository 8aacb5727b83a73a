// The rules of this repository that no linter knows: sizes, the arrows of the layout, words, traces of a machine.
// Prints each violation as file:line: rule; the exit code is 1 when there is one. ./scripts/test runs it.
import { fileURLToPath } from 'node:url';
import { checkDead, checkMissing } from './tidying/dead.ts';
import { checkArrows, checkCycles } from './tidying/layout.ts';
import { checkLinks } from './tidying/links.ts';
import { checkFileSizes, checkFunctionSizes } from './tidying/size.ts';
import { parseSources, readRepository, type Violation } from './tidying/source.ts';
import { checkTraces } from './tidying/traces.ts';
import { checkEmptyCatches, checkHeader, checkWords } from './tidying/words.ts';

/** Compiled to dist/scripts, two folders below the checkout. */
const root = fileURLToPath(new URL('../..', import.meta.url));

const files = readRepository(root);
const sources = parseSources(files);
const each = [checkFunctionSizes, checkArrows, checkWords, checkEmptyCatches, checkHeader];
const violations: Violation[] = [
  ...checkFileSizes(files),
  ...checkCycles(sources),
  ...checkDead(sources),
  ...checkMissing(sources),
  ...checkLinks(files),
  ...files.flatMap(checkTraces),
  ...sources.flatMap((source) => each.flatMap((check) => check(source))),
];

for (const { file, line, rule } of violations) process.stdout.write(`${file}:${line}: ${rule}\n`);
process.stdout.write(`tidy: ${sources.length} sources, ${files.length} files, ${violations.length} violations\n`);
process.exitCode = violations.length === 0 ? 0 : 1;
