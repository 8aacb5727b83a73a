// The test files: each is a process of its own that prints TAP. They are started by node itself, not by tap's runner,
// which at the first start rebuilds its plugins with the help of npm, and takes about half a second for each file.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Ending, run } from './command.ts';
import { isNamed, type Options } from './options.ts';
import { COMPUTING, Order, WAITING_JOBS } from './order.ts';
import type { Stage } from './stage.ts';
import { addTally, newTally, type Tally } from './tally.ts';
import { TapReader } from './tap_reader.ts';

const LIMIT_SECONDS = { normal: 300, long: 900 };
const STDERR_LINES = 60;
const SUFFIX = '.test.ts';

/** Names such as nbd/handshake_split. The sources tell, because compiled files outlive a deleted source. */
export function listTestFiles(root: string): string[] {
  return readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(SUFFIX))
    .map((path) => path.slice(0, -SUFFIX.length))
    .sort();
}

/** The stage with the files that the options select; undefined when they select none. */
export function testFilesStage(root: string, options: Options): Stage | undefined {
  const all = listTestFiles(root);
  const names = isNamed('tests', options.only) ? all : all.filter((name) => isNamed(name, options.only));
  if (names.length === 0) return undefined;
  return { name: 'tests', title: `${names.length} test files`, run: (say) => runFiles(root, names, options.long, say) };
}

async function runFiles(
  root: string,
  names: readonly string[],
  long: boolean,
  say: (line: string) => void,
): Promise<Tally> {
  const sum = newTally();
  const order = new Order(names);
  const work = async (job: number): Promise<void> => {
    for (let name = order.next(job); name !== undefined; name = order.next(job)) {
      addTally(sum, await runFile(root, name, job, long, say));
    }
  };
  await Promise.all(Array.from({ length: COMPUTING + WAITING_JOBS }, (_, job) => work(job)));
  return sum;
}

/** What is wrong with the file as a whole, when no failed assertion explains how it ended. */
function faultOf({ tally, failures, complete, running }: TapReader, ending: Ending): string | undefined {
  if (failures.length > 0) return undefined;
  const place = running === '' ? '' : ` (in: ${running})`;
  if (ending.code !== 0) return `${ending.description}${place}`;
  if (!complete) return `it ended before its last test${place}`;
  return tally.passed + tally.skipped.length === 0 ? 'it tested nothing' : undefined;
}

async function runFile(
  root: string,
  name: string,
  job: number,
  long: boolean,
  say: (line: string) => void,
): Promise<Tally> {
  const reader = new TapReader();
  const stderr: string[] = [];
  const started = performance.now();
  const limit = long ? LIMIT_SECONDS.long : LIMIT_SECONDS.normal;
  const ending = await run({
    args: [process.execPath, '--enable-source-maps', join(root, 'dist/test', `${name}.test.js`)],
    // A little earlier than our own limit, so that tap can still say which test it was.
    env: { TAP_TIMEOUT: String(limit - 10), ZSWAPD_TEST_JOB: String(job), ...(long ? { ZSWAPD_LONG: '1' } : {}) },
    timeoutSeconds: limit,
    onStdout: (line) => reader.line(line),
    onStderr: (line) => {
      stderr.push(line);
      if (stderr.length > STDERR_LINES) stderr.shift();
    },
  });
  const { tally, failures } = reader;
  const problems = failures.map((failure) =>
    [failure.name, ...failure.details.map((line) => `  ${line}`)].join('\n    '),
  );
  const fault = faultOf(reader, ending);
  if (fault !== undefined) {
    tally.failed++;
    problems.push(fault);
  }
  const skipped = tally.skipped.length === 0 ? '' : `, ${tally.skipped.length} skipped`;
  const failed = tally.failed === 0 ? '' : `, ${tally.failed} FAILED`;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`${tally.failed === 0 ? 'ok    ' : 'not ok'} ${name} (${tally.passed} passed${failed}${skipped}; ${seconds} s)`);
  for (const problem of problems) say(`  not ok: ${problem}`);
  if (problems.length > 0) for (const line of stderr) say(`  stderr: ${line}`);
  const skips = tally.skipped.map(({ what, reason }) => ({ what: `${name}: ${what}`, reason }));
  return { ...tally, skipped: skips };
}
