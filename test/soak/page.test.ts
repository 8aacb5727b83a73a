import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { PAGE, Pages, SECTOR, SECTORS, tell, versionOf } from '#src/soak/page.js';

const pages = new Pages(7);
const page = (slot: number, generation: number): Buffer => {
  const bytes = Buffer.alloc(PAGE);
  pages.fill(bytes, 0, slot, versionOf(generation, 3));
  return bytes;
};
const described = Array.from({ length: 200 }, (_, slot) => slot).filter((slot) =>
  ['text', 'heap', 'sparse', 'noise'].includes(pages.content(slot, versionOf(1, 3))),
);

t.test('each sector says its seed, slot, version and number, and that it is sound', (t) => {
  for (const slot of described.slice(0, 20)) {
    for (let sector = 0; sector < SECTORS; sector++) {
      const told = tell(page(slot, 1).subarray(sector * SECTOR, (sector + 1) * SECTOR));
      t.same(told, { is: 'ours', sound: true, seed: 7, slot, version: versionOf(1, 3), sector });
    }
  }
  t.end();
});

t.test('a bit that is flipped anywhere makes the sector unsound, or no sector of ours', (t) => {
  const sector = page(described[0], 1).subarray(0, SECTOR);
  for (let bit = 0; bit < SECTOR * 8; bit += 5) {
    const flipped = Buffer.from(sector);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    const told = tell(flipped);
    if (told.is === 'ours' && told.sound) t.fail(`bit ${bit}`);
  }
  t.end();
});

t.test('no two versions, slots or seeds have the same bytes, but for zeros', (t) => {
  const seen = new Set<string>();
  for (let slot = 0; slot < 50; slot++) {
    for (let generation = 1; generation < 20; generation++) {
      if (pages.isZero(slot, versionOf(generation, 3))) continue;
      seen.add(page(slot, generation).toString('latin1'));
    }
  }
  const zeros = Array.from({ length: 50 * 19 }).filter((_, i) =>
    pages.isZero(Math.floor(i / 19), versionOf((i % 19) + 1, 3)),
  ).length;
  t.equal(seen.size, 50 * 19 - zeros);
  const other = Buffer.alloc(PAGE);
  new Pages(8).fill(other, 0, described[0], versionOf(1, 3));
  t.notSame(other, page(described[0], 1));
  t.end();
});

t.test('a part of a page is the same bytes as that part of the whole', (t) => {
  for (let slot = 0; slot < 30; slot++) {
    const part = Buffer.alloc(3 * SECTOR);
    pages.fill(part, 0, slot, versionOf(1, 3), 2, 5);
    t.same(part, page(slot, 1).subarray(2 * SECTOR, 5 * SECTOR));
  }
  t.end();
});

t.test('all classes of content occur, from one repeated word to what does not compress', (t) => {
  const sizes = new Map<string, number>();
  for (let slot = 0; slot < 200; slot++) {
    sizes.set(pages.content(slot, versionOf(1, 3)), deflateRawSync(page(slot, 1)).length);
  }
  t.same([...sizes.keys()].sort(), ['filled', 'heap', 'noise', 'sparse', 'text', 'zero']);
  t.ok(sizes.get('noise')! > PAGE * 0.95);
  t.ok(sizes.get('text')! < PAGE * 0.75 && sizes.get('text')! > PAGE * 0.2);
  t.ok(sizes.get('sparse')! < PAGE / 6);
  t.ok(sizes.get('filled')! < 50 && sizes.get('zero')! < 50);
  t.end();
});
