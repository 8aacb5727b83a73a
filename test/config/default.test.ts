// The committed default config and the generated reference say the same as the declarations.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { generatedFiles } from '#src/config/docs.js';
import { REPOSITORY } from '#src/config/fields.js';
import { loadConfig, loadConfigText } from '#src/config/load.js';
import { listOptions } from '#src/config/option_list.js';

for (const { path, text } of generatedFiles()) {
  t.test(`${path.slice(REPOSITORY.length)} is up to date`, async (t) => {
    t.equal(readFileSync(path, 'utf8'), text, 'run: node dist/config/docs.js --write');
  });
}

t.test('config/default.jsonc is the default of every option', async (t) => {
  t.same(loadConfig().config, loadConfigText('empty', '{}').config);
});

t.test('config/default.jsonc shows every option that has a default', async (t) => {
  const text = readFileSync(resolve(REPOSITORY, 'config/default.jsonc'), 'utf8');
  for (const { path, default: value } of listOptions()) {
    const key = path.startsWith('memcgs.NAME.') ? path.slice('memcgs.NAME.'.length) : path.split('.').at(-1);
    if (value !== undefined && key !== 'description') t.ok(text.includes(`"${key}"`), path);
  }
});

t.test('the default serves one export, below var/', async (t) => {
  const { config } = loadConfig();
  t.match(config.exports, [
    { name: 'swap0', size: 2 ** 30, image: resolve(REPOSITORY, 'var/swap0.img'), memcg: 'swap0' },
  ]);
  t.equal(config.listen.tcp, null, 'any local user reaches a loopback port: it is turned on by name');
  t.equal(config.listen.unix, resolve(REPOSITORY, 'var/swap0.sock'));
  t.match(config.listen, { unixMode: '0600', unixGroup: null, allowOthers: false, allowRemote: false });
  t.equal(config.listen.handshakeTimeout, 10_000);
  t.notOk('$schema' in config);
});

t.test('a config is frozen in all its depth', async (t) => {
  const { config } = loadConfigText('c', '{ "memcgs": { "swap0": {} } }');
  const check = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return;
    t.ok(Object.isFrozen(value), path);
    for (const [key, item] of Object.entries(value)) check(item, `${path}.${key}`);
  };
  check(config, 'config');
});

t.test('a config survives the way to a worker', async (t) => {
  const { config } = loadConfig();
  t.same(structuredClone(config), config);
  t.same(JSON.parse(JSON.stringify(config)), config);
});
