// Read sections: what is given back waits for the sections that ran when it was taken out, and for no later one.
import t from 'tap';
import * as rcu from '#src/shm/rcu.js';
import { passing } from '../support/facade.ts';

/** Sections of four threads, and a note of them between words that are not the note's. */
function sections() {
  const words = new Int32Array(new SharedArrayBuffer(16));
  const noted = new Int32Array(8).fill(-1);
  return { words, noted, note: () => rcu.note(words, noted, 2), over: () => rcu.over(words, noted, 2) };
}

t.test('with nobody inside a note is over at once, whatever begins later', async (t) => {
  const { words, noted, note, over } = sections();
  note();
  t.ok(over());
  rcu.enter(words, 1);
  t.ok(over());
  t.strictSame([...noted], [-1, -1, 0, 0, 0, 0, -1, -1], 'it takes a word per thread and no other');
});

for (const thread of [0, 1, 3]) {
  t.test(`a section of thread ${thread} holds a note up until it ends`, async (t) => {
    const { words, note, over } = sections();
    rcu.enter(words, thread);
    note();
    t.notOk(over());
    t.notOk(over(), 'asking changes nothing');
    rcu.exit(words, thread);
    t.ok(over());
    rcu.enter(words, thread);
    t.ok(over(), 'a later section of the same thread is none of its business');
  });
}

t.test('of two sections the last one decides', async (t) => {
  const { words, note, over } = sections();
  rcu.enter(words, 1);
  rcu.enter(words, 2);
  note();
  rcu.exit(words, 2);
  t.notOk(over());
  rcu.exit(words, 1);
  t.ok(over());
});

t.test('who synchronizes waits for each thread that is inside, and for no other', async (t) => {
  const { words } = sections();
  rcu.enter(words, 0);
  rcu.enter(words, 3);
  const waited = passing(() => rcu.synchronize(words)).filter(({ op }) => op === 'retry');
  t.strictSame(
    waited.map(({ index }) => index),
    [0, 3],
  );
});

t.test('a section that ends while its count wraps is over', async (t) => {
  const { words, note, over } = sections();
  words[1] = 2 ** 31 - 2;
  rcu.enter(words, 1);
  note();
  t.notOk(over());
  rcu.exit(words, 1);
  t.equal(words[1], -(2 ** 31));
  t.ok(over());
});
