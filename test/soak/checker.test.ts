import t from 'tap';
import { Checker } from '#src/soak/checker.js';
import { Model, WHOLE } from '#src/soak/model.js';
import { PAGE, Pages, SECTOR, versionOf } from '#src/soak/page.js';

const pages = new Pages(7);
/** Slots whose first four generations describe themselves. */
const plain = Array.from({ length: 3000 }, (_, slot) => slot).filter((slot) =>
  [1, 2, 3, 4].every((generation) =>
    ['text', 'heap', 'sparse', 'noise'].includes(pages.content(slot, versionOf(generation, 0))),
  ),
);
const [slot, other] = plain;

function bytesOf(of: number, generation: number): Buffer {
  const bytes = Buffer.alloc(PAGE);
  pages.fill(bytes, 0, of, versionOf(generation, 0));
  return bytes;
}

/** Generations 1 to 3 were acknowledged. */
function world(): { model: Model; checker: Checker } {
  const model = new Model(3000, false);
  for (const of of [slot, other]) for (let i = 0; i < 3; i++) model.ok(of, WHOLE, model.next(of, 0));
  return { model, checker: new Checker(model, pages) };
}

t.test('the last acknowledged page is right, whole or in part', (t) => {
  const { checker } = world();
  t.equal(checker.check(slot, bytesOf(slot, 3)), null);
  t.equal(checker.check(slot, bytesOf(slot, 3).subarray(SECTOR, 3 * SECTOR), 1), null);
  t.end();
});

t.test('wrong pages are named', (t) => {
  const torn = Buffer.concat([bytesOf(slot, 3).subarray(0, 1024), bytesOf(slot, 2).subarray(1024)]);
  const flipped = bytesOf(slot, 3);
  flipped[100] ^= 4;
  const whole = Buffer.from(flipped);
  for (let at = 100; at < PAGE; at += SECTOR) whole[at] = flipped[100] ^ 1;
  const foreign = Buffer.alloc(PAGE);
  new Pages(8).fill(foreign, 0, slot, versionOf(3, 0));
  for (const [kind, bytes, text] of [
    ['stale', bytesOf(slot, 2), /generation 2 of writer 0, in place of generation 3/],
    ['lost', Buffer.alloc(PAGE), /zeros, in place of generation 3/],
    ['misdirected', bytesOf(other, 3), new RegExp(`slot ${other}`)],
    ['torn', torn, /sector 2/],
    ['corrupt', whole, /wrong checksum/],
    ['corrupt', Buffer.alloc(PAGE, 'ab'), /repeated/],
    ['foreign', foreign, /seed 8/],
  ] as const) {
    t.match(world().checker.check(slot, bytes), { kind, slot, text }, kind);
  }
  t.end();
});

t.test('a page of one repeated word is known as stale by its word', (t) => {
  const filled = Array.from({ length: 500 }, (_, n) => n).find((n) => pages.isFilled(n, versionOf(1, 0)))!;
  const { model, checker } = world();
  for (let i = 0; i < 3; i++) model.ok(filled, WHOLE, model.next(filled, 0));
  t.match(checker.check(filled, bytesOf(filled, 1)), { kind: 'stale', text: /generation 1/ });
  t.end();
});

t.test('a wrong page is told once, until it is written as a whole', (t) => {
  const { model, checker } = world();
  t.match(checker.check(slot, bytesOf(slot, 1)), { kind: 'stale' });
  t.equal(checker.check(slot, bytesOf(slot, 1)), null);
  model.ok(slot, WHOLE, model.next(slot, 0));
  t.match(checker.check(slot, bytesOf(slot, 1)), { kind: 'stale' });
  t.end();
});

t.test('an unanswered WRITE is settled by the first READ, and what changes after that is wrong', (t) => {
  const { model, checker } = world();
  model.maybe(slot, WHOLE, model.next(slot, 0));
  t.equal(checker.check(slot, bytesOf(slot, 3)), null);
  t.match(checker.check(slot, bytesOf(slot, 4)), { kind: 'stale', text: /generation 4/ }, 'it landed late');
  t.end();
});
