// A stop drains to the image whatever has become of its sockets.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { tempFolder } from '../support/tmp.ts';
import { startServer } from '../support/zswapd.ts';

t.test('a stop of a server whose sockets are out of reach saves everything', async (t) => {
  const folder = tempFolder(t);
  const [run, image] = [join(folder, 'run'), join(folder, 'image')];
  mkdirSync(run);
  const set = [
    `listen.unix=${run}/s`,
    `control.listen=${run}/c`,
    `agents.unix=${run}/a`,
    `exports[0].agentToken=${folder}/token`,
    'exports[0].attribution=agent',
  ];
  writeFileSync(join(folder, 'token'), `${'ab'.repeat(32)}\n`, { mode: 0o600 });
  const server = await startServer(t, { folder, image, set });
  renameSync(run, `${run}.away`);
  writeFileSync(run, '');
  const { code, stderr } = await server.stop();
  t.equal(code, 0, stderr);
  for (const socket of ['s', 'c', 'a']) t.match(stderr, `${run}/${socket}: `);
  t.match(stderr, /the images hold everything/);
});
