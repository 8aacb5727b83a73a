import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bundleAgent } from '#src/agent/bundle.js';
import { HELP, parseOptions } from '#src/agent/options.js';
import { Problem } from '#src/agent/problem.js';
import { run, runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { MAIN } from '../support/zswapd.ts';

t.test('the agent is one file that needs nothing but Node', async (t) => {
  const text = bundleAgent();
  const imports = [...text.matchAll(/^import .* from '(.*)';$/gm)].map(([, from]) => from);
  t.ok(imports.length > 0 && imports.every((from) => from.startsWith('node:')), imports.join(' '));
  t.notMatch(text, /\brequire\(/);
  const file = join(tempFolder(t), 'agent.mjs');
  writeFileSync(file, text);
  t.same(await runCommand(process.execPath, [file, '--help']), { code: 0, stdout: HELP, stderr: '' });
  t.match(await runCommand(process.execPath, [file, '--server', 'x']), {
    code: 2,
    stdout: '',
    stderr: /^agent: x: no address/,
  });
});

t.test('zswapd agent is the same program, and prints it', async (t) => {
  t.same(await run(MAIN, ['agent', '--help']), { code: 0, stdout: HELP, stderr: '' });
  t.same(await run(MAIN, ['agent', '--bundle']), { code: 0, stdout: bundleAgent(), stderr: '' });
  t.match(await run(MAIN, ['agent', '--mode', 'auto']), {
    code: 2,
    stdout: '',
    stderr: /^agent: --server is missing\n$/,
  });
});

t.test('what makes no sense is refused with what is allowed', async (t) => {
  const good = ['--server', '[::1]:99', '--export', 'a', '--device', '/dev/x', '--token', '/t'];
  t.match(parseOptions(good), { server: { host: '::1', port: 99 }, mode: 'auto', bufferKib: 8192, statusMs: 0 });
  t.match(parseOptions([...good, '--server', 'unix:/a b']), { server: { path: '/a b' } });
  t.match(parseOptions([...good, '--server', 'serial:/dev/vport0p1']), { server: { serial: '/dev/vport0p1' } });
  t.equal(parseOptions(['--check']), 'check');
  const bad: readonly (readonly [RegExp, ...string[]])[] = [
    [/allowed: HOST:PORT, unix:/, '--server', '10.0.2.2'],
    [/no address/, '--server', '10.0.2.2:99999'],
    [/no address/, '--server', 'unix:relative'],
    [/--export is missing/, '--export', ''],
    [/allowed are auto, probes, pagemap/, '--mode', 'kprobes'],
    [/a number of 1 to 256/, '--buffer', '0'],
    [/a number of 1 to 86400/, '--interval', ''],
    [/'--other'/, '--other'],
  ];
  for (const [message, ...args] of bad) {
    t.throws(() => parseOptions([...good, ...args]), message);
    t.throws(() => parseOptions([...good, ...args]), Problem);
  }
});
