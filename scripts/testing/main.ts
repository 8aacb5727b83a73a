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

/** Those that may run beside each other and follow each other, two at a time: the smallest machines have two cores. */
function inGroups(stages: readonly Stage[]): Stage[][] {
  const groups: Stage[][] = [];
  for (const stage of stages) {
    const last = groups.at(-1);
    if (stage.pairs === true && last?.length === 1 && last[0].pairs === true) last.push(stage);
    else groups.push([stage]);
  }
  return groups;
}

/** What each says comes in one piece. */
async function told(say: (line: string) => void, work: (say: (line: string) => void) => Promise<void>): Promise<void> {
  const lines: string[] = [];
  try {
    await work((line) => lines.push(line));
  } finally {
    for (const line of lines) say(line);
  }
}

async function runStages(stages: readonly Stage[]): Promise<number> {
  const sum = newTally();
  const runStage = async (stage: Stage, say: (line: string) => void): Promise<void> => {
    const started = performance.now();
    say(`== ${stages.indexOf(stage) + 1}/${stages.length} ${stage.name}: ${stage.title}`);
    const tally = await stage.run(say);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    say(`-- ${stage.name}: ${summaryLine(tally)} (${seconds} s)\n`);
    addTally(sum, tally);
  };
  for (const group of inGroups(stages)) {
    if (group.length === 1) await runStage(group[0], say);
    else await Promise.all(group.map((stage) => told(say, (line) => runStage(stage, line))));
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
