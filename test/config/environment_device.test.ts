// A block device is written, and nothing in the folder of its node: that of its marker counts.
import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t from 'tap';
import { loopDevice, mountsMissing } from '../image/images.ts';
import { missing } from '../support/requires.ts';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { serverArguments } from '../support/zswapd.ts';

const skip = mountsMissing() || missing('setpriv');
const NOBODY = 65534;

t.test('whoever may write a device need not be able to write in /dev', { skip }, async (t) => {
  const image = loopDevice(t, 2 ** 20);
  const folder = tempFolder(t);
  const state = join(folder, 'state');
  mkdirSync(state);
  const behind = readFileSync(`/sys/block/${basename(image)}/loop/backing_file`, 'utf8').trim();
  for (const path of [image, folder, dirname(behind), behind]) chownSync(path, NOBODY, NOBODY);
  t.teardown(() => chownSync(image, 0, 0));
  const [main, , ...set] = serverArguments(folder, { image, size: '1MiB' });
  const nobody = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'env', `STATE_DIRECTORY=${state}`];
  const check = () => runCommand('setpriv', [...nobody, process.execPath, main, 'config', 'check', ...set]);
  t.match(await check(), { code: 2, stderr: `exports[0].image: can't use folder ${state}: EACCES` });
  chownSync(state, NOBODY, NOBODY);
  t.match(await check(), { code: 0, stderr: '' });
});
