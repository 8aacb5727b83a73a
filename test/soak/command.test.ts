// `zswapd soak` as a process: what it refuses, what it keeps, and a short soak of a server of its own.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { run, runCommand } from '../support/run_process.ts';
import { runEach } from '../support/run_zswapd.ts';
import { tempFolder } from '../support/tmp.ts';
import { memoryDevice, serveStub } from './stub.ts';

const MAIN = join(REPOSITORY, 'dist/main.js');
const soak = (...args: string[]) => run(MAIN, ['soak', ...args]);

t.test('mistakes of usage are exit code 2 and one line', async (t) => {
  const folder = tempFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  const mistakes = [
    [['--time', '-5s'], /--time: "-5s", allowed: /],
    [['--time', '60'], /--time: "60", allowed: /],
    [['--time', '0s'], /--time: "0s"/],
    [['--seed', '-1'], /--seed: "-1"/],
    [['--rate', '0'], /--rate: "0", allowed: an integer from 1 /],
    [['--rate', '5', '--guest'], /--rate: .*--guest/],
    [['--break', 'all'], /--break: "all", allowed: checksum, fence, early-reply, fsync/],
    [['--nope'], /unknown option/],
    [['--faults', join(folder, 'none')], /--faults: .*ENOENT/],
    [['--uri', 'nbd+unix:///x'], /names no socket/],
    [['--uri', 'http://x'], /scheme/],
    [['--uri', `nbd+unix:///x?socket=${folder}/none`, '--report', join(folder, 'r')], /ENOENT/],
    [['--uri', 'nbd://x', '--set', 'a=1'], /--set: /],
    [['--uri', 'nbd://x', '--break', 'fence'], /--break: /],
    [['--uri', 'nbd://x', '--faults', file], /--faults: .*--control/],
    [['--report', ''], /--report: is empty/],
    [['--report', file], /--report: .*allowed: /],
    [['--report', join(file, 'x')], /--report: .*ENOTDIR/],
    [['--report', join(folder, 'no/x')], /--report: .*ENOENT/],
    [['--set', 'lanes=99', '--report', join(folder, 'r')], /lanes/],
  ] as const;
  const ended = await runEach(mistakes.map(([args]) => ['soak', ...args]));
  for (const [i, [args, wanted]] of mistakes.entries()) {
    t.match(ended[i], { code: 2, stdout: '', stderr: /^[^\n]+\n$/ }, args.join(' '));
    t.match(ended[i].stderr, wanted);
  }
  t.same(readdirSync(folder), ['file'], 'nothing is left');
});

t.test('a report is never written over', async (t) => {
  const folder = join(tempFolder(t), 'r');
  mkdirSync(folder);
  writeFileSync(join(folder, 'report.html'), 'mine');
  const { code, stderr } = await soak('--report', folder);
  t.match({ code, stderr }, { code: 2, stderr: /^--report: [^\n]* has something in it[^\n]*\n$/ });
  t.equal(readFileSync(join(folder, 'report.html'), 'utf8'), 'mine');
});

t.test('a short soak of a server of its own', async (t) => {
  const folder = join(tempFolder(t), 'r');
  const { code, stdout, stderr } = await soak('--time', '6s', '--rate', '300', '--seed', '1', '--report', folder);
  t.match(stdout, /^soak: PASS wrong=0 lost=0 leaked=0 unaccounted=0 report=[^\n]*\/report\.html\n$/, stderr);
  t.equal(code, 0);
  t.same(readdirSync(folder).sort(), ['report.html', 'server.log', 'soak.jsonl']);
  const html = readFileSync(join(folder, 'report.html'), 'utf8');
  t.notMatch(html, /(?:src|href)=|@import|NaN|undefined/, 'it needs nothing else');
  t.match(html, /soak --time 6s --seed 1 --rate 300/);
});

t.test('a disk that fills up ends the time series at a whole line, and is told in one', async (t) => {
  const folder = join(tempFolder(t), 'r');
  const full = ['--fsize=3000', process.execPath, MAIN, 'soak', '--time', '2s', '--report', folder];
  const uri = await serveStub(t, memoryDevice());
  const { code, stdout, stderr } = await runCommand('prlimit', [...full, '--uri', uri]);
  t.equal(code, 5);
  t.match(stdout, /^soak: UNKNOWN [^\n]* report=none\n$/);
  t.equal([...stderr.matchAll(/the time series ends here/g)].length, 1, stderr);
  const text = readFileSync(join(folder, 'soak.jsonl'), 'utf8');
  t.ok(text.endsWith('\n'));
  for (const line of text.trim().split('\n')) t.type(JSON.parse(line), 'object');
  t.same(readdirSync(folder), ['soak.jsonl'], 'and there is no part of a report');
});
