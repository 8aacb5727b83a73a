// Orders of a lane to the shrinker and their answers: each answer finds its order, full rings lose nothing.
import t from 'tap';
import { ORDERS_PER_LANE } from '#src/pool/shared.js';
import { pop, RECORD_WORDS } from '#src/shm/mailbox.js';
import { answerOrder, ORDER, OrderBook } from '#src/zswap/orders.js';
import { newZswap } from '../support/pool.ts';

const LANE = 2;

t.test('answers reach the order they belong to, in whatever order they come, and only from look()', async (t) => {
  const { shared } = newZswap();
  const book = new OrderBook(shared, LANE);
  const got: string[] = [];
  for (const name of ['a', 'b', 'c']) book.send(ORDER.WRITE, 0, 7, 1, (errno) => got.push(`${name}${errno}`));
  const orders: number[][] = [];
  const record = new Int32Array(RECORD_WORDS);
  while (pop(shared.orders, record, shared.boxes)) orders.push([...record]);
  t.strictSame(
    orders.map((order) => order.slice(0, 5)),
    [0, 1, 2].map(() => [ORDER.WRITE, 0, 7, 1, LANE]),
  );
  for (const at of [2, 0, 1]) answerOrder(shared, LANE, orders[at][5], at);
  t.strictSame(got, []);
  book.look();
  t.strictSame(got, ['c2', 'a0', 'b1']);
  t.equal(book.underway, 0);
});

t.test('a lane has a bounded number of orders under way', async (t) => {
  const { shared } = newZswap();
  const book = new OrderBook(shared, LANE);
  for (let i = 0; i < ORDERS_PER_LANE; i++) book.send(ORDER.PUNCH, 0, i, 1, () => {});
  t.notOk(book.hasRoom(0));
  t.throws(() => book.send(ORDER.PUNCH, 0, 0, 1, () => {}), /more orders/);
});

t.test('orders for one export leave others their places, and a place comes back with its answer', async (t) => {
  const exports = ['a', 'b', 'c'].map((name) => ({ name, pages: 512, memcg: 0 }));
  const { shared } = newZswap({ exports });
  const book = new OrderBook(shared, LANE);
  let sent = 0;
  for (; book.hasRoom(0); sent++) book.send(ORDER.FLUSH, 0, 0, 0, () => {});
  t.ok(sent < ORDERS_PER_LANE);
  for (const x of [1, 2]) {
    let more = 0;
    for (; book.hasRoom(x); more++) book.send(ORDER.PUNCH, x, 0, 1, () => {});
    t.ok(more >= 512, `${more} places are left for export ${x}`);
    sent += more;
  }
  t.equal(sent, ORDERS_PER_LANE, 'and none is wasted');
  const record = new Int32Array(RECORD_WORDS);
  pop(shared.orders, record, shared.boxes);
  answerOrder(shared, LANE, record[5], 0);
  book.look();
  t.ok(book.hasRoom(0));
});

t.test('orders that find the ring full are sent later, in their order', async (t) => {
  const { shared } = newZswap({ lanes: 3 });
  const books = [2, 3, 4].map((thread) => new OrderBook(shared, thread));
  let answered = 0;
  const sent = books.map((book) => {
    for (let i = 0; i < ORDERS_PER_LANE - 1; i++) book.send(ORDER.PUNCH, 0, i, 1, () => answered++);
    return 0;
  });
  const record = new Int32Array(RECORD_WORDS);
  let wrong = 0;
  for (let i = 0; i < 9; i++) pop(shared.orders, record, shared.boxes);
  t.equal(record[2], 8, 'the oldest came out, and there is room again');
  sent[0] = 9;
  // Orders of the last lane wait outside the ring, and this one must not overtake them.
  books[2].send(ORDER.PUNCH, 0, ORDERS_PER_LANE - 1, 1, () => answered++);
  for (let round = 0; round < 4; round++) {
    while (pop(shared.orders, record, shared.boxes)) {
      const [, , slot, , thread, token] = record;
      if (slot !== sent[thread - 2]++) wrong++;
      answerOrder(shared, thread, token, 0);
    }
    for (const book of books) book.look();
  }
  t.equal(wrong, 0);
  t.equal(answered, 3 * ORDERS_PER_LANE - 2 - 9);
});

t.test('an answer to a thread that is no lane throws', async (t) => {
  t.throws(() => answerOrder(newZswap().shared, 1, 0, 0), /no lane/);
});
