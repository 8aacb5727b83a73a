// What a marker says of a block device by its name: after a boot, no more than that name is worth.
import t from 'tap';
import { type Durability, type MarkerInfo, newMarker } from '#src/image/marker.js';
import { isMarked } from '#src/image/same_image.js';

const BYTES = 2 ** 20;

function device(...names: string[]) {
  return { identity: names[0], names, file: null };
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

t.test('a name that lasts vouches after a boot too, also where it is not the first', async (t) => {
  for (const name of ['wwid=naa.5', 'loop/born=7.000000001:inode=12:offset=0'])
    t.ok(isMarked(marker(name, 'strict', 'another'), device(name)), name);
  t.ok(isMarked(marker('serial=x', 'strict', 'another'), device('loop/born=1', 'serial=x')));
  t.notOk(isMarked(marker('serial=y', 'strict', 'this'), device('serial=x')));
});
