// Who may connect is said by name: config check and serve refuse what would let in others by accident, or nobody.
import { chmodSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { checkEnvironment } from '#src/config/environment.js';
import { loadConfigText } from '#src/config/load.js';
import { STATE_FOLDER } from '#src/config/state_folder.js';
import { tempFolder } from '../support/tmp.ts';
import { failedStart } from '../support/zswapd.ts';

/** The first problem, as config check says it. */
function problem(t: Test, listen: object, environment: NodeJS.ProcessEnv = {}): string {
  const folder = tempFolder(t);
  chmodSync(folder, 0o750);
  const options = { listen: { unix: 's', ...listen }, exports: [{ name: 'a', size: '1MiB', image: 'i' }] };
  try {
    const { config } = loadConfigText(join(folder, 'c'), JSON.stringify(options));
    return checkEnvironment(config, environment)[0] ?? '';
  } catch (error) {
    return (error as Error).message;
  }
}

t.test('modes', async (t) => {
  t.equal(problem(t, {}), '');
  t.match(problem(t, { unixMode: '0644' }), 'allowed: "0600", "0660", "0666"');
  t.match(problem(t, { unixMode: 600 }), 'listen.unixMode: 600 is not one of the names');
  t.match(problem(t, { unixMode: '0660' }), 'allowed: with the name of one in listen.unixGroup');
  t.match(problem(t, { unixMode: '0666' }), 'lets every local user in, allowed: "0600", "0660", or listen.allowOthers');
  t.equal(problem(t, { unixMode: '0666', allowOthers: true }), '');
  t.equal(problem(t, { unixMode: '0660', unixGroup: '0' }), '');
});

t.test('groups', async (t) => {
  t.match(problem(t, { unixGroup: '0' }), 'listen.unixGroup: does nothing with listen.unixMode: "0600"');
  t.equal(problem(t, { unixMode: '0660', unixGroup: 'root' }), '', 'by name');
  t.equal(problem(t, { unixMode: '0660', unixGroup: 0 }), '', 'by number');
  t.match(problem(t, { unixMode: '0660', unixGroup: 1.5 }), 'is not a group');
  for (const unixGroup of ['nobody-has-this', '4294967295', '-1', '--help', 'a:b']) {
    t.match(problem(t, { unixMode: '0660', unixGroup }), `listen.unixGroup: there is no group ${unixGroup}, allowed:`);
  }
  t.match(problem(t, { unixMode: '0660', unixGroup: '' }), 'is not a group');
  const none = { unixMode: '0660', unixGroup: 'nobody-has-this' };
  t.equal(problem(t, none, { LISTEN_FDS: '1' }), '', 'inherited sockets are left as they are');
});

t.test('a folder that nobody else can enter', async (t) => {
  const folder = tempFolder(t);
  chmodSync(folder, 0o700);
  const unix = join(folder, 's');
  t.equal(problem(t, { unix }), '');
  const text = `listen.unix: only its owner can enter ${folder}, allowed: with unixMode 0660`;
  t.match(problem(t, { unix, unixMode: '0660', unixGroup: '0' }), text);
  chmodSync(folder, 0o710);
  t.equal(problem(t, { unix, unixMode: '0660', unixGroup: '0' }), '');
  const inVar = problem(t, { unix: join(STATE_FOLDER, 's'), unixMode: '0660', unixGroup: '0' });
  const mode = lstatSync(STATE_FOLDER, { throwIfNoEntry: false })?.mode ?? 0o700;
  t.match(inVar, (mode & 0o011) === 0 ? 'only its owner can enter' : '');
});

t.test('serve says so in one line, exit code 2', async (t) => {
  const set = ['listen.unixMode=0660', 'listen.unixGroup=nobody-has-this'];
  const { code, stdout, stderr } = await failedStart(t, { size: '8MiB', set });
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /^--set listen\.unixGroup: there is no group nobody-has-this[^\n]*\n$/);
});
