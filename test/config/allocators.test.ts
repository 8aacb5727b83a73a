// What each allocator can not do is refused before it starts, with the reason.
import t from 'tap';
import { ConfigError, loadConfigText } from '#src/config/load.js';

function refusal(options: object): string {
  try {
    loadConfigText('c.jsonc', JSON.stringify(options));
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
  return '';
}

t.test('each can be chosen, and zsmalloc is what one gets', async (t) => {
  for (const allocator of ['zsmalloc', 'zbud', 'z3fold']) {
    const { config } = loadConfigText('c.jsonc', JSON.stringify({ pool: { allocator } }));
    t.equal(config.pool.allocator, allocator);
  }
  t.equal(loadConfigText('c.jsonc', '{}').config.pool.allocator, 'zsmalloc');
  t.match(refusal({ pool: { allocator: 'zpool' } }), /pool\.allocator: .*"zsmalloc", "zbud", "z3fold"/);
});

t.test('a pool is not larger than a handle can tell', async (t) => {
  t.equal(refusal({ pool: { max: '100GiB' } }), '');
  for (const allocator of ['zbud', 'z3fold']) {
    const told = new RegExp(
      `pool\\.max: 100 ?GiB is more than ${allocator} can have, allowed: at most 64 ?GiB, or another`,
    );
    t.match(refusal({ pool: { max: '100GiB', allocator } }), told);
    t.equal(refusal({ pool: { max: '64GiB', allocator } }), '');
  }
});

t.test('zbud has no room for a page that is kept as it is', async (t) => {
  const zbud = { allocator: 'zbud' };
  t.match(
    refusal({ pool: { ...zbud, incompressible: 'store' } }),
    /pool\.incompressible: "store" .* zbud has no room for one, allowed: "reject", or pool\.allocator zsmalloc or z3fold/,
  );
  t.match(
    refusal({ pool: zbud, onRejectNoWriteback: 'raw' }),
    /onRejectNoWriteback: "raw" .* zbud has no room for one, allowed: "fail", or pool\.allocator zsmalloc or z3fold/,
  );
  for (const allocator of ['zsmalloc', 'z3fold']) {
    t.equal(refusal({ pool: { allocator, incompressible: 'store' }, onRejectNoWriteback: 'raw' }), '');
  }
});

t.test('what the pool can be switched to is asked the same beforehand', async (t) => {
  const others = (otherAllocators: unknown, more: object = {}, pool: object = {}): string =>
    refusal({ pool: { otherAllocators, ...pool }, ...more });
  t.equal(others(['zbud', 'z3fold']), '');
  t.match(others('zbud'), /otherAllocators: is not a list, allowed: names of allocators/);
  t.match(others(['slab']), /otherAllocators\[0\]: .*"zsmalloc", "zbud", "z3fold"/);
  t.match(others(['zbud', 'zbud']), /otherAllocators\[1\]: "zbud" is there already/);
  t.match(others(['zsmalloc']), /otherAllocators\[0\]: "zsmalloc" is there already/);
  t.match(others(['zbud', 'z3fold', 'zbud']), /has too many names/);
  t.match(others(['zbud'], {}, { max: '100GiB' }), /pool\.max is more than zbud can have, allowed: .*64 ?GiB/);
  const byPages = { unsafe: true, protocol: { preset: 'v6.4' } };
  t.match(others(['zsmalloc'], byPages), /"zsmalloc" has no list of pages/);
  t.equal(others(['z3fold'], byPages), '');
  t.match(others(['zbud'], { onRejectNoWriteback: 'raw' }), /otherAllocators: pages kept raw .*allowed: \[\], or/);
});
