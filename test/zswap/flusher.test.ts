// Rounds of FLUSH and FUA by themselves: what a round takes, and that it costs slots, however many requests ask for them.
import t from 'tap';
import { createDirty, setDirty } from '#src/pool/dirty.js';
import { Flusher, united } from '#src/zswap/flusher.js';

interface Called {
  readonly slots: Uint32Array;
  readonly done: (errno: number) => void;
}

function flusher(pages: number) {
  const dirty = createDirty([pages]);
  const rounds: Called[] = [];
  const f = new Flusher(
    dirty,
    0,
    (slots, done) => rounds.push({ slots, done }),
    (_whole, done) => done(0),
  );
  const request = (first: number, end: number): { errno: number | null } => {
    const asked = { errno: null as number | null };
    f.request(first, end, (errno) => {
      asked.errno = errno;
    });
    return asked;
  };
  return { f, rounds, request, mark: (...slots: number[]) => slots.forEach((slot) => void setDirty(dirty, 0, slot)) };
}

t.test('ranges are united where they overlap or meet', async (t) => {
  const ranges = (...all: [number, number][]) => united(all.map(([first, end]) => ({ first, end })));
  const [a, b] = [
    { first: 1, end: 4 },
    { first: 6, end: 8 },
  ];
  t.strictSame(ranges([6, 8], [1, 4]), [a, b]);
  t.strictSame(ranges([1, 3], [2, 4], [6, 8], [7, 8]), [a, b]);
  t.strictSame(ranges([1, 8], [2, 3]), [{ first: 1, end: 8 }]);
  t.strictSame(ranges([1, 4], [4, 8]), [{ first: 1, end: 8 }]);
  t.strictSame(ranges(), []);
});

t.test('FUAs take what is dirty in their ranges and what a FLUSH has taken of them, each slot once', async (t) => {
  const { f, rounds, request, mark } = flusher(4096);
  mark(1, 5, 9, 2000);
  const flush = request(0, 4096);
  f.start();
  mark(5, 7, 30);
  const fuas = [request(4, 8), request(6, 12), request(2000, 2001), request(3000, 3001)];
  f.start();
  t.strictSame(
    rounds.map(({ slots }) => [...slots]),
    [
      [1, 5, 9, 2000],
      [5, 7, 9, 2000],
    ],
  );
  rounds[1].done(0);
  t.strictSame(
    [flush, ...fuas].map(({ errno }) => errno),
    [null, 0, 0, 0, 0],
  );
  const next = request(0, 4096);
  rounds[0].done(0);
  t.strictSame([flush.errno, [...rounds[2].slots]], [0, [30]]);
  rounds[2].done(5);
  t.equal(next.errno, 5);
  request(0, 4096);
  f.start();
  t.strictSame([...rounds[3].slots], [30], 'a round that failed puts its debt back');
});

t.test('a FLUSH takes nothing of what FUAs have taken, and waits for them', async (t) => {
  const { f, rounds, request, mark } = flusher(4096);
  mark(1, 2);
  const fua = request(1, 2);
  f.start();
  const flush = request(0, 4096);
  f.start();
  t.strictSame(
    rounds.map(({ slots }) => [...slots]),
    [[1], [2]],
  );
  rounds[1].done(0);
  t.equal(flush.errno, null);
  rounds[0].done(0);
  t.strictSame([fua.errno, flush.errno], [0, 0]);
});

t.test('hundreds of FUAs of what a FLUSH has taken hold its slots once', async (t) => {
  const pages = 2 ** 20;
  const { f, rounds, request, mark } = flusher(pages);
  for (let slot = 0; slot < pages; slot++) mark(slot);
  request(0, pages);
  f.start();
  t.equal(rounds[0].slots.length, pages);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 100; i++) request(1, pages);
  f.start();
  t.equal(rounds[1].slots.length, pages - 1);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 64 * 2 ** 20, `${(grown / 2 ** 20).toFixed(0)} MiB`);
});
