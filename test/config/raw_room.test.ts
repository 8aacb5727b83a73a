// Pages kept raw have room beside the pool, and what both together may be is said before anything is reserved.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';

const load = (pool: object, onRejectNoWriteback = 'raw', size = '1TiB') =>
  loadConfigText('c', JSON.stringify({ pool, onRejectNoWriteback, exports: [{ name: 'a', size, image: 'a.img' }] }));

t.test('more than an allocator can have is refused, by what it takes', async (t) => {
  const text = /pool\.rawMax: takes \d+MiB beside pool\.max, allowed: 128GiB of both together/;
  t.throws(() => load({ max: '64GiB', rawMax: '64GiB' }), text);
  t.throws(() => load({ max: '128GiB', rawMax: 4096 }), /pool\.rawMax: takes .* beside pool\.max/);
});

t.test('as much as fits is not, nor what no page will ever take', async (t) => {
  t.ok(load({ max: '64GiB', rawMax: '59GiB' }));
  t.ok(load({ max: '128GiB', rawMax: '64GiB' }, 'fail'));
  t.ok(load({ max: '64GiB', rawMax: '1TiB' }, 'raw', '1GiB'));
  t.ok(load({ max: '128GiB', rawMax: 4095 }));
});
