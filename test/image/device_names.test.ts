// What a marker says of a block device by its name: after a boot, no more than that name is worth.
import t from 'tap';
import { type Durability, type MarkerInfo, newMarker } from '#src/image/marker.js';
import { isMarked } from '#src/image/same_image.js';

const BYTES = 2 ** 20;

function device(...names: string[]) {
  return { identity: names[0], names, sequence: null, file: null };
}

function marker(identity: string, durability: Durability, boot: 'this' | 'another'): MarkerInfo {
  const made = newMarker({ identity, bytes: BYTES }, durability);
  return boot === 'this' ? made : { ...made, bootId: 'another' };
}

t.test('a name that a boot hands out anew vouches for nothing after it, and is stale all the same', async (t) => {
  for (const name of ['name=vdb', 'loop/device=1793:inode=12:offset=0']) {
    t.ok(isMarked(marker(name, 'strict', 'this'), device(name)), name);
    t.notOk(isMarked(marker(name, 'strict', 'another'), device(name)), name);
    t.ok(isMarked(marker(name, 'volatile', 'another'), device(name)), name);
  }
});

t.test('a name that the kernel has given to another device since is that of another', async (t) => {
  const made = (sequence: string | null) =>
    newMarker({ identity: 'name=zram1', names: ['name=zram1'], sequence, bytes: BYTES }, 'volatile');
  const now = (sequence: string | null) => ({ ...device('name=zram1'), sequence });
  t.ok(isMarked(made('802'), now('802')));
  t.notOk(isMarked(made('802'), now('803')));
  t.ok(isMarked(made(null), now('803')), 'not counted then');
  t.ok(isMarked({ ...made('802'), bootId: 'another' }, now('803')), 'another boot counts anew');
  const disk = newMarker({ identity: 'serial=x', names: ['serial=x'], sequence: '7', bytes: BYTES }, 'strict');
  t.ok(isMarked(disk, { ...device('serial=x'), sequence: '8' }), 'a disk that was plugged in again is the same');
});

t.test('a name that lasts vouches after a boot too, also where it is not the first', async (t) => {
  for (const name of ['wwid=naa.5', 'loop/born=7.000000001:inode=12:offset=0'])
    t.ok(isMarked(marker(name, 'strict', 'another'), device(name)), name);
  t.ok(isMarked(marker('serial=x', 'strict', 'another'), device('loop/born=1', 'serial=x')));
  t.notOk(isMarked(marker('serial=y', 'strict', 'this'), device('serial=x')));
});
