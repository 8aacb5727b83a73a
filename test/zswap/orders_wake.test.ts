// Orders and answers wake who has to look, and tokens are used again without mixing up their answers.
import t from 'tap';
import { LANES_MAX, THREAD_LANE0, THREAD_SHRINKER } from '#src/pool/limits.js';
import { createShared, ORDERS_PER_LANE } from '#src/pool/shared.js';
import { pop, RECORD_WORDS } from '#src/shm/mailbox.js';
import { answerOrder, ORDER, OrderBook } from '#src/zswap/orders.js';
import { poolSettings } from '../support/pool.ts';

const LANE = THREAD_LANE0;

function setup() {
  const shared = createShared(poolSettings());
  return { shared, book: new OrderBook(shared, LANE) };
}

t.test('an order wakes the shrinker, an answer its lane', async (t) => {
  const { shared, book } = setup();
  book.send(ORDER.FLUSH, 0, 0, 0, () => undefined);
  t.strictSame([shared.boxes[THREAD_SHRINKER], shared.boxes[LANE]], [1, 0]);
  answerOrder(shared, LANE, 0, 0);
  t.strictSame([shared.boxes[THREAD_SHRINKER], shared.boxes[LANE]], [1, 1]);
});

t.test('orders that found the ring full wake the shrinker when they are sent', async (t) => {
  const { shared, book } = setup();
  const others = [3, 3].map((thread) => new OrderBook(shared, thread));
  for (const other of others)
    for (let i = 0; i < ORDERS_PER_LANE; i++) other.send(ORDER.PUNCH, 0, i, 1, () => undefined);
  const before = shared.boxes[THREAD_SHRINKER];
  book.send(ORDER.FLUSH, 0, 0, 0, () => undefined);
  t.equal(shared.boxes[THREAD_SHRINKER], before, 'not sent yet');
  book.look();
  t.equal(shared.boxes[THREAD_SHRINKER], before, 'nor now');
  const record = new Int32Array(RECORD_WORDS);
  pop(shared.orders, record, shared.boxes);
  t.equal(shared.boxes[LANE], 1, 'who was refused is woken');
  book.look();
  t.equal(shared.boxes[THREAD_SHRINKER], before + 1);
  let last = 0;
  while (pop(shared.orders, record, shared.boxes)) [last] = record;
  t.equal(last, ORDER.FLUSH);
});

t.test('a token is free again with its answer, and an answer is delivered once', async (t) => {
  const { shared, book } = setup();
  const got: string[] = [];
  const record = new Int32Array(RECORD_WORDS);
  for (let round = 0; round < 3; round++) {
    book.send(ORDER.PUNCH, 0, round, 1, (errno) => got.push(`${round}:${errno}`));
    pop(shared.orders, record, shared.boxes);
    t.equal(record[5], 0);
    answerOrder(shared, LANE, record[5], round);
    book.look();
    book.look();
  }
  t.strictSame(got, ['0:0', '1:1', '2:2']);
});

t.test('an answer may send the next order', async (t) => {
  const { shared, book } = setup();
  let again = 0;
  book.send(ORDER.PUNCH, 0, 1, 1, () => book.send(ORDER.PUNCH, 0, 2, 1, () => again++));
  const record = new Int32Array(RECORD_WORDS);
  for (let i = 0; i < 2; i++) {
    t.ok(pop(shared.orders, record, shared.boxes));
    t.equal(record[2], i + 1);
    answerOrder(shared, LANE, record[5], 0);
    book.look();
  }
  t.equal(again, 1);
});

t.test('only lanes get answers, the last one too', async (t) => {
  const shared = createShared(poolSettings({ lanes: LANES_MAX }));
  answerOrder(shared, THREAD_LANE0 + LANES_MAX - 1, 0, 0);
  for (const thread of [0, 1, THREAD_LANE0 + LANES_MAX])
    t.throws(() => answerOrder(shared, thread, 0, 0), /is no lane/);
});

t.test('a ring of answers that is full stops the process', async (t) => {
  const { shared } = setup();
  for (let i = 0; i < ORDERS_PER_LANE; i++) answerOrder(shared, LANE, i, 0);
  t.throws(() => answerOrder(shared, LANE, 0, 0), /ring of answers is full/);
});
