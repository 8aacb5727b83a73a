// Exports of more memcgs than the pool has room for are refused by their own sentence.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { MEMCGS_MAX } from '#src/pool/limits.js';
import { reserveShared } from '#src/server/settings.js';

const { config } = loadConfigText('c', JSON.stringify({ exports: [{ name: 'a', size: '1MiB', image: 'a.img' }] }));
const withMemcgs = (count: number) => {
  const [one] = config.exports;
  return { ...config, exports: Array.from({ length: count }, (_, x) => ({ ...one, memcg: `m${x}` })) };
};

t.test('one memcg too many is named, and not taken for a lack of address space', async (t) => {
  t.throws(() => reserveShared(withMemcgs(MEMCGS_MAX + 1)), {
    exitCode: 2,
    message: /^exports: name 257 memcgs, allowed: at most 256$/,
  });
  t.equal(reserveShared(withMemcgs(MEMCGS_MAX)).settings.memcgs.length, MEMCGS_MAX);
});
