// No state of stdout and stderr stops a process that logs.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/ops/config/fields.js';
import { closeOutput, run } from './run_process.ts';

/** Logs, then exits with 42: whatever else comes is the output's fault. */
const LOGS = `import { createLog, ignoreClosedOutput } from ${JSON.stringify(resolve(REPOSITORY, 'dist/ops/log.js'))};
  ignoreClosedOutput();
  const log = createLog('info');
  process.stdin.resume();
  process.stdin.on('end', async () => {
    for (let line = 0; line < 100; line++) {
      log.logger.info('line %d', line);
      process.stdout.write('ready\\n');
      await new Promise(setImmediate);
    }
    await log.flush();
    process.stderr.write('direct\\n');
    process.exit(42);
  });`;

t.test('log lines arrive in order on stderr, and nothing but ours on stdout', async (t) => {
  const script = join(t.testdir({ 'log.mjs': LOGS }), 'log.mjs');
  const { code, stdout, stderr } = await run(script, [], (child) => child.stdin?.end());
  t.equal(code, 42);
  t.equal(stdout, 'ready\n'.repeat(100));
  const lines = stderr.trimEnd().split('\n');
  t.equal(lines.pop(), 'direct');
  t.same(
    lines.map((line) => JSON.parse(line).msg),
    Array.from({ length: 100 }, (_, line) => `line ${line}`),
  );
});

t.test('closed stdout and stderr do not end a process that logs', async (t) => {
  const script = join(t.testdir({ 'log.mjs': LOGS }), 'log.mjs');
  t.equal((await run(script, [], closeOutput)).code, 42);
});

t.test('lines beyond a stuck reader are dropped and counted, and do not hold up the exit', async (t) => {
  const text = LOGS.replace('line < 100', 'line < 30_000').replace(
    'process.exit(42)',
    'process.exit(log.dropped() > 0 ? 42 : 1)',
  );
  // A pipe that has a reader which never reads, for stderr alone.
  const script = join(t.testdir({ 'log.mjs': text.replace("process.stderr.write('direct\\n');", '') }), 'log.mjs');
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.pause();
  t.equal(await new Promise((done) => child.on('exit', done)), 42);
  child.stderr.destroy();
});

t.test('a full disk below stdout and stderr does not end a process that logs', async (t) => {
  const script = join(t.testdir({ 'log.mjs': LOGS }), 'log.mjs');
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', full, full] });
  t.equal(await new Promise((done) => child.on('close', done)), 42);
});
