// Agents of guests: what a config may say of them, and of whom an export is then.
import { join } from 'node:path';
import t from 'tap';
import { checkEnvironment } from '#src/config/environment.js';
import { loadConfigText } from '#src/config/load.js';
import { ownerOf } from '#src/pool/attribution.js';
import { pathOf } from '#src/pool/memcg.js';
import { reserveShared } from '#src/server/settings.js';
import { tempFolder } from '../support/tmp.ts';

const one = { name: 'a', size: '1MiB', image: 'a.img', memcg: 'guests/a', attribution: 'agent', agentToken: 'a.token' };
const load = (over: object = {}, agents: object = { unix: 'agents.sock' }, others: readonly object[] = []) =>
  loadConfigText(join('/', 'c'), JSON.stringify({ agents, exports: [{ ...one, ...over }, ...others] })).config;

t.test('what nobody claims is unattributed, below the memcg of the export', async (t) => {
  const { memcgs } = reserveShared(load());
  t.equal(pathOf(memcgs, ownerOf(memcgs, 0, 5)), 'guests/a/unattributed');
  const { memcgs: ofRoot } = reserveShared(load({ memcg: '/' }));
  t.equal(pathOf(ofRoot, ownerOf(ofRoot, 0, 5)), 'unattributed');
});

t.test('an export without an agent beside one that has it', async (t) => {
  const { memcgs } = reserveShared(load({}, undefined, [{ name: 'b', size: '1MiB', image: 'b.img' }]));
  t.strictSame(
    [0, 1].map((x) => pathOf(memcgs, ownerOf(memcgs, x, 5))),
    ['guests/a/unattributed', 'b'],
  );
});

const refused: [string, () => unknown, RegExp][] = [
  ['no token', () => load({ agentToken: null }), /exports\[0\]\.agentToken: is missing, allowed: a file/],
  ['nobody to hear', () => load({}, {}), /exports\[0\]\.attribution: "agent" has nobody to hear one/],
  ['nobody to speak', () => load({ attribution: 'export', agentToken: null }), /agents\.unix: does nothing/],
  [
    'a token for nothing',
    () => load({ attribution: 'export' }),
    /exports\[0\]\.agentToken: does nothing with attribution/,
  ],
  [
    'ranges',
    () => load({ ranges: [{ offset: 0, size: 4096, memcg: 'x' }] }),
    /exports\[0\]\.ranges: does nothing with/,
  ],
  ['another machine', () => load({}, { tcp: '10.0.0.1:99' }), /agents\.tcp: 10\.0\.0\.1 is not a loopback address/],
  ['the image', () => load({ agentToken: 'a.img' }), /agentToken: .* is the image of exports\[0\] too/],
  [
    'the token of another',
    () => load({}, undefined, [{ ...one, name: 'b', image: 'b.img' }]),
    /is the token of exports\[0\] too/,
  ],
  [
    'another socket',
    () => loadConfigText('/c', JSON.stringify({ listen: { unix: 's' }, agents: { unix: 's' }, exports: [one] })),
    /agents\.unix: is the socket of listen\.unix/,
  ],
];
for (const [name, attempt, message] of refused) {
  t.test(`refused: ${name}`, async (t) => t.throws(attempt, { message }));
}

t.test('files need a folder', async (t) => {
  const folder = tempFolder(t);
  const at = (file: string) => join(folder, file);
  const config = load({ image: at('i'), agentToken: at('none/token') }, { unix: at('gone/sock') });
  const problems = checkEnvironment({
    ...config,
    listen: { ...config.listen, unix: at('s') },
    control: { listen: null },
  });
  t.match(problems, [
    /agents\.unix: folder .*gone does not exist/,
    /exports\[0\]\.agentToken: folder .*none does not exist/,
  ]);
});
