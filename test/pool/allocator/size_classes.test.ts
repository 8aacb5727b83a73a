// Size classes: every length has a class that holds it, and little of a zspage is wasted.
import t from 'tap';
import { CLASSES, classOf, OBJECT_HEADER, OBJECTS_MAX, ZSPAGE_BYTES } from '#src/pool/allocator/size_classes.js';

t.test('every length of 1 to 4096 bytes fits its class, and would not fit the one below', async (t) => {
  const wrong: number[] = [];
  for (let length = 1; length <= 4096; length++) {
    const c = classOf(length);
    const fits = length + OBJECT_HEADER <= CLASSES.size[c];
    const smallest = c === 0 || length + OBJECT_HEADER > CLASSES.size[c - 1];
    if (!fits || !smallest) wrong.push(length);
  }
  t.strictSame(wrong, []);
});

t.test('no two classes have the same number of objects: those were merged', async (t) => {
  t.equal(new Set(CLASSES.objects).size, CLASSES.count);
  t.ok(CLASSES.count < 256, 'a class number fits a byte');
});

t.test('the tail of a zspage is shorter than 16 bytes per object, except in the class of raw pages', async (t) => {
  for (let c = 0; c < CLASSES.count; c++) {
    const objects = CLASSES.objects[c];
    const tail = ZSPAGE_BYTES - objects * CLASSES.size[c];
    const bound = c === CLASSES.count - 1 ? CLASSES.size[c] : 16 * objects;
    if (tail < 0 || tail >= bound || tail > ZSPAGE_BYTES / 16 || objects > OBJECTS_MAX) t.fail(`class ${c}: ${tail}`);
  }
});

t.test('objects start on 16 bytes, so that their headers can be read as words', async (t) => {
  t.ok(CLASSES.size.every((size) => size % 16 === 0));
});
