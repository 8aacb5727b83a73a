// ./scripts/test: runs the stages in order, also after one has failed, and ends with the counts on a line of their own.
import { fileURLToPath } from 'node:url';
import { checkStages } from './checks.ts';
import { endAll } from './command.ts';
import { guestStages } from './guest.ts';
import { isNamed, type Options, parseOptions, USAGE, UsageError } from './options.ts';
import type { Stage } from './stage.ts';
import { addTally, describeSkips, newTally, summaryLine } from './tally.ts';
import { listTestFiles, testFilesStage } from './test_files.ts';

/** Compiled to dist/scripts/testing, three folders below the checkout. */
const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function selectStages(options: Options): Stage[] {
  const checks = checkStages(root);
  const guests = guestStages(root, options.long, options.strict);
  const files = testFilesStage(root, options);
  const stages = [
    ...checks.filter(({ name }) => isNamed(name, options.only)),
    ...(files === undefined ? [] : [files]),
    ...guests.filter(({ name }) => isNamed(name, options.only)),
  ];
  if (stages.length === 0) {
    const names = [...checks.map(({ name }) => name), 'tests', ...guests.map(({ name }) => name)];
    const known = [...names, ...listTestFiles(root)].join(', ');
    throw new UsageError(`--only ${options.only.join(' --only ')}: no such name; there are ${known}`);
  }
  return stages;
}

async function runStages(stages: readonly Stage[]): Promise<number> {
  const sum = newTally();
  for (const [index, stage] of stages.entries()) {
    const started = performance.now();
    say(`== ${index + 1}/${stages.length} ${stage.name}: ${stage.title}`);
    const tally = await stage.run(say);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`-- ${stage.name}: ${summaryLine(tally)} (${seconds} s)\n`);
    addTally(sum, tally);
  }
  for (const line of describeSkips(sum.skipped)) say(line);
  say(summaryLine(sum));
  return sum.failed === 0 ? 0 : 1;
}

for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.once(signal, () => void endAll().finally(() => process.exit(128 + number)));
}

try {
  process.chdir(root);
  const options = parseOptions(process.argv.slice(2), process.env);
  if (options === undefined) process.stdout.write(USAGE);
  else process.exitCode = await runStages(selectStages(options));
} catch (error) {
  process.stderr.write(`test: ${error instanceof UsageError ? error.message : (error as Error).stack}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
  await endAll();
}
