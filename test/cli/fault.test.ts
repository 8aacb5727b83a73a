// `zswapd fault` as a process: a plan is put in force, told of and cleared; what is wrong with one is a line with its place.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startServer } from '../support/one_thread.ts';
import { runEach } from '../support/run_zswapd.ts';

t.test('a plan is applied, listed and cleared', async (t) => {
  const server = await startServer(t);
  const [good, bad] = ['good.jsonc', 'bad.jsonc'].map((name) => join(server.folder, name));
  writeFileSync(good, '{ "seed": 9, "faults": [{ "id": "slow", "site": "image.read", "action": "hang" }] }');
  writeFileSync(
    bad,
    '{ "seed": 9,\n "faults": [\n{ "site": "image.read", "action": "x" }, { "site": "pool.tree", "action": "y" }] }',
  );
  const lines = [
    ['list'],
    ['apply', good],
    ['apply', bad],
    ['list'],
    ['list', '--json'],
    ['clear'],
    ['list'],
    ['apply', join(server.folder, 'none')],
  ];
  const [none, applied, refused, listed, json, cleared, after, missing] = await runEach(
    lines.map((words) => ['fault', ...words, '--control', server.controlPath]),
  );
  t.match(none, { code: 0, stdout: 'no fault plan is in force\n' });
  t.match(applied, { code: 0, stdout: /^\{"seed":9,"plan":"[0-9a-f]{16}","faults":1\}\n$/ });
  t.equal(refused.code, 2);
  t.equal(
    refused.stderr,
    `${bad}:3:35: faults[0].action: "x" is no action of image.read, allowed: EIO, ENOSPC, latency, hang\n` +
      `${bad}:3:75: faults[1].action: "y" is no action of pool.tree, allowed: flip\n`,
  );
  t.match(listed, {
    code: 0,
    stdout: /^plan [0-9a-f]{16}, seed 9\n\n.*\nslow +image\.read +hang +must-tolerate +true +true +0 +0 +0\n$/s,
  });
  t.match(JSON.parse(json.stdout), { seed: 9, faults: [{ id: 'slow', reached: 0 }], events: [], eventsLost: 0 });
  t.match(cleared, { code: 0, stdout: '{"plan":null}\n' });
  t.match(after, { stdout: 'no fault plan is in force\n' });
  t.match(missing, { code: 2, stderr: /none: can't read the plan: / });
});
