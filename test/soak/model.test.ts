import t from 'tap';
import { Model, WHOLE } from '#src/soak/model.js';

const model = (strict = false): Model => new Model(16, strict);

t.test('a slot holds zeros, and then what was acknowledged last', (t) => {
  const m = model();
  t.same(m.allowed(3, 0), [0]);
  const first = m.next(3, 1);
  m.ok(3, WHOLE, first);
  const second = m.next(3, 2);
  t.not(first, second);
  m.ok(3, WHOLE, second);
  t.same(m.allowed(3, 7), [second]);
  t.equal(m.whole(3), second);
  t.end();
});

t.test('a part of a page changes its own sectors', (t) => {
  const m = model();
  m.ok(1, WHOLE, 40);
  m.ok(1, 0b0000_0110, 72);
  t.same(m.allowed(1, 0), [40]);
  t.same(m.allowed(1, 2), [72]);
  t.equal(m.whole(1), undefined);
  t.end();
});

t.test('without an answer old and new are right, until a WRITE is acknowledged', (t) => {
  const m = model();
  m.ok(1, WHOLE, 40);
  m.maybe(1, WHOLE, 72);
  t.same(m.allowed(1, 5), [40, 72]);
  t.equal(m.whole(1), undefined);
  m.ok(1, 0b1111, 104);
  t.same(m.allowed(1, 0), [104]);
  t.same(m.allowed(1, 5), [40, 72], 'of what it did not cover nothing is known');
  m.ok(1, WHOLE, 136);
  t.same(m.allowed(1, 5), [136]);
  t.notOk(m.isUnsure(1));
  t.end();
});

t.test('a READ settles it: what was old may not turn new later', (t) => {
  const m = model();
  m.ok(1, WHOLE, 40);
  m.maybe(1, WHOLE, 72);
  m.settle(1, 0, 40);
  m.settle(1, 1, 72);
  t.same(m.allowed(1, 0), [40]);
  t.same(m.allowed(1, 1), [72]);
  t.same(m.allowed(1, 2), [40, 72]);
  t.end();
});

t.test('after a crash of a strict server what was flushed is there, or what came since', (t) => {
  const m = model(true);
  m.ok(1, WHOLE, 40);
  const order = m.flushing();
  m.ok(1, WHOLE, 72);
  m.flushed(order);
  m.maybe(1, WHOLE, 104);
  m.ok(2, WHOLE, 40);
  m.crash();
  t.same(m.allowed(1, 0), [40, 72, 104], 'what ended after the FLUSH was sent is not covered by it');
  t.same(m.allowed(2, 0), [0, 40]);
  t.same(m.allowed(3, 0), [0]);
  m.flushed(m.flushing());
  m.crash();
  t.same(m.allowed(2, 0), [0, 40], 'a FLUSH covers what is there, whichever that is');
  m.settle(1, 0, 72);
  t.same(m.allowed(1, 0), [72]);
  t.end();
});

t.test('after a crash what was flushed is not older than that', (t) => {
  const m = model(true);
  m.ok(1, WHOLE, 40);
  m.ok(1, WHOLE, 72);
  m.flushed(m.flushing());
  m.crash();
  t.same(m.allowed(1, 0), [72]);
  t.throws(() => model().crash(), /not strict/);
  t.end();
});

t.test('what was unsure when it was flushed may be what outlives a crash', (t) => {
  const m = model(true);
  m.ok(1, WHOLE, 40);
  m.maybe(1, WHOLE, 72);
  m.flushed(m.flushing());
  m.ok(1, WHOLE, 104);
  m.crash();
  t.same(m.allowed(1, 0), [40, 72, 104]);
  m.ok(1, WHOLE, 136);
  m.flushed(m.flushing());
  m.crash();
  t.same(m.allowed(1, 0), [136], 'until something sure was flushed over it');
  t.end();
});

t.test('what a READ has settled is durable after the next FLUSH', (t) => {
  const m = model(true);
  m.ok(1, WHOLE, 40);
  m.maybe(1, WHOLE, 72);
  m.settle(1, 0, 40);
  m.flushed(m.flushing());
  m.crash();
  t.same(m.allowed(1, 0), [40]);
  t.same(m.allowed(1, 1), [40, 72]);
  t.end();
});

t.test('a slot with many unanswered WRITEs is crowded until it is read', (t) => {
  const m = model();
  for (let i = 0; i < 16; i++) m.maybe(1, WHOLE, m.next(1, 1));
  t.ok(m.isCrowded(1));
  for (let sector = 0; sector < 8; sector++) m.settle(1, sector, 0);
  t.notOk(m.isCrowded(1));
  t.end();
});

t.test('a server that was discarded holds zeros, and what comes after that', (t) => {
  const m = model(true);
  m.ok(1, WHOLE, 40);
  m.flushed(m.flushing());
  m.maybe(1, WHOLE, 72);
  m.distrust(2);
  m.empty();
  t.same(m.allowed(1, 0), [0]);
  t.notOk(m.isDistrusted(2));
  m.crash();
  t.same(m.allowed(1, 0), [0], 'nothing that was flushed or sent before');
  t.end();
});
