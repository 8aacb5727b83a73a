// No state of stdout and stderr stops a process that logs.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { LineWriter } from '#src/server/line_writer.js';
import { startServer } from '../support/one_thread.ts';
import { closeOutput, run } from '../support/run_process.ts';

/** Logs, then exits with 42: whatever else comes is the output's fault. */
const LOGS = `import { createLog, ignoreClosedOutput } from ${JSON.stringify(resolve(REPOSITORY, 'dist/server/log.js'))};
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

t.test('a reader that goes on after a stall is told how many lines it missed', async (t) => {
  const LINES = 60_000;
  // The lines come while the pipe is full; the process ends when its stdin does.
  const text = `import { createLog } from ${JSON.stringify(resolve(REPOSITORY, 'dist/server/log.js'))};
    const log = createLog('fatal');
    for (let line = 0; line < ${LINES}; line++) log.logger.fatal('line %d', line);
    process.stdout.write(String(log.dropped()));
    process.stdin.resume().on('end', async () => {
      // What the reader has seen may not have been reported as written yet.
      await log.flush();
      log.logger.fatal('later');
      await log.flush();
      process.exit(log.dropped() === 0 ? 1 : 42);
    });`;
  const script = join(t.testdir({ 'log.mjs': text }), 'log.mjs');
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'pipe'] });
  const exited = new Promise((done) => child.on('close', done));
  child.stderr.pause();
  const dropped = Number(await new Promise((done) => child.stdout.once('data', done)));
  t.ok(dropped > 0, 'the pipe was full');
  const lines: { msg: string; dropped?: number; total?: number; level: number }[] = [];
  let rest = '';
  await new Promise<void>((done) => {
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      const parts = (rest + part).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts.map((line) => JSON.parse(line)));
      if (lines.some((line) => line.dropped !== undefined)) done();
    });
    child.stderr.resume();
  });
  child.stdin.end();
  t.equal(await exited, 42);
  const reports = lines.filter((line) => line.dropped !== undefined);
  t.match(reports, [
    { dropped, total: dropped, level: 50, msg: `${dropped} log lines could not be written and are lost` },
  ]);
  t.equal(reports.length, 1, 'said once');
  const seen = lines.filter((line) => line.msg.startsWith('line ')).length;
  t.equal(seen + dropped, LINES, 'every line was seen or counted');
  t.equal(lines.at(-1)?.msg, 'later');
});

t.test('lines that a full disk swallowed are counted once, and reported when it has room', async (t) => {
  const LOST = 3;
  const fd = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(fd));
  const log = join(t.testdir({ log: '' }), 'log');
  /** The same descriptor for another file: the lowest free number is the one that was just closed. */
  const lead = (path: string): void => {
    closeSync(fd);
    t.equal(openSync(path, 'a'), fd);
  };
  let reports = 0;
  const writer = new LineWriter(fd, (dropped, total) => {
    // The disk is full again when the first report is to be written.
    if (reports++ === 0) lead('/dev/full');
    return `dropped ${dropped} of ${total}\n`;
  });
  for (let line = 0; line < LOST; line++) {
    writer.write(`${line}\n`);
    await writer.flush(10_000);
    t.equal(writer.dropped, line + 1);
  }
  lead(log);
  writer.write('again\n');
  await writer.flush(10_000);
  t.equal(readFileSync(log, 'utf8'), 'again\n');
  t.equal(writer.dropped, LOST, 'a report that is lost is no line of the log');
  lead(log);
  writer.write('and again\n');
  await writer.flush(10_000);
  writer.write('the end\n');
  await writer.flush(10_000);
  t.equal(readFileSync(log, 'utf8'), `again\nand again\ndropped ${LOST} of ${LOST}\nthe end\n`);
  t.equal(writer.dropped, LOST);
});

t.test('the stats of a server say how many lines it lost', async (t) => {
  const full = openSync('/dev/full', 'w');
  t.teardown(() => closeSync(full));
  // Sockets of somebody else are worth a line at start.
  const server = await startServer(t, {
    size: '8MiB',
    env: { LISTEN_PID: '1', LISTEN_FDS: '1' },
    stdio: ['ignore', 'pipe', full],
  });
  t.ok((await server.stats()).log_lines_dropped >= 1);
  t.equal((await server.stop()).code, 0);
  const other = await startServer(t, { size: '8MiB' });
  t.equal((await other.stats()).log_lines_dropped, 0);
});
