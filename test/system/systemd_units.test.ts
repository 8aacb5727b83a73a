// The units that are packed: systemd takes them, and they know our exit codes.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { EXIT } from '#src/os/exit_error.js';
import { missing } from '../support/requires.ts';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

const UNITS = resolve(REPOSITORY, 'config/systemd');
const service = readFileSync(join(UNITS, 'zswapd.service'), 'utf8');

t.test('systemd has nothing to say of them', { skip: missing('systemd-analyze') }, async (t) => {
  const folder = tempFolder(t);
  cpSync(UNITS, folder, { recursive: true });
  // Where Node is belongs to the machine.
  writeFileSync(join(folder, 'zswapd.service'), service.replace('/usr/bin/node', process.execPath));
  const units = ['zswapd.service', 'zswapd.socket'].map((name) => join(folder, name));
  t.match(await runCommand('systemd-analyze', ['verify', ...units]), { code: 0, stderr: '' });
});

t.test('what a start does not mend is not started again', async (t) => {
  const [, codes] = /^RestartPreventExitStatus=(.*)$/m.exec(service) ?? [];
  t.equal(codes, [EXIT.usage, EXIT.staleImage, EXIT.drainFailed].join(' '));
  t.match(service, /^Restart=on-failure$/m);
});
