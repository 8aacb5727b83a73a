// Places of a listener: each export has its own, whatever the others hold, and what comes back can be had again.
import t from 'tap';
import { createPlaces, givePlace, takePlace } from '#src/server/places.js';

/** Takes until it is refused; how many were taken. */
function fill(places: ReturnType<typeof createPlaces>, listener: number, x: number): number {
  let taken = 0;
  while (takePlace(places, listener, x)) taken++;
  return taken;
}

t.test('two exports that take all they can leave the third its own', async (t) => {
  const places = createPlaces(100, 3);
  t.strictSame([fill(places, 0, 0), fill(places, 0, 1), fill(places, 0, 2)], [68, 16, 16]);
  t.equal(fill(places, 1, 2), 68, 'another listener has places of its own');
});

t.test('each of many exports has one place', async (t) => {
  const places = createPlaces(100, 60);
  t.equal(fill(places, 0, 0), 41);
  for (let x = 1; x < 60; x++) t.equal(fill(places, 0, x), 1);
});

t.test('an export that is alone has all', async (t) => t.equal(fill(createPlaces(100, 1), 0, 0), 100));

t.test('what is given back is of the rest first, and can be had by whoever may have it', async (t) => {
  const places = createPlaces(8, 2);
  t.strictSame([fill(places, 0, 0), fill(places, 0, 1)], [6, 2]);
  givePlace(places, 0, 0);
  t.ok(takePlace(places, 0, 1), 'one of the rest');
  t.notOk(takePlace(places, 0, 0));
  givePlace(places, 0, 1);
  t.ok(takePlace(places, 0, 0));
  for (let n = 0; n < 6; n++) givePlace(places, 0, 0);
  for (let n = 0; n < 2; n++) givePlace(places, 0, 1);
  t.strictSame([fill(places, 0, 1), fill(places, 0, 0)], [6, 2], 'as in the beginning');
});
