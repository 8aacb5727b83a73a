// Changes that overlap, all in flight at once, on a device whose calls end in any order: what is there in the end is what one
// after the other would have left.
import t from 'tap';
import { ram, running } from '../support/byte_server.ts';
import { chooseSeed, Random } from '../support/random.ts';

const SIZE = 1_000_003;
const ROUNDS = process.env.ZSWAPD_LONG === '1' ? 100 : 5;
const OPERATIONS = 300;

t.test('as if one after the other', async (t) => {
  const seed = chooseSeed();
  t.comment(`seed ${seed}`);
  const random = new Random(seed);
  for (let round = 0; round < ROUNDS; round++) {
    const underWay = new Set<readonly [number, number]>();
    let together = 0;
    const { bytes, read, write, ...rest } = ram({ size: SIZE, blockSize: 512 << random.below(8) });
    const change = async (offset: number, length: number, work: () => unknown): Promise<void> => {
      const range = [offset, offset + length] as const;
      for (const [from, to] of underWay) if (from < range[1] && offset < to) together++;
      underWay.add(range);
      for (let turns = random.below(6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      work();
      underWay.delete(range);
    };
    const { connect } = await running(t, {
      ...rest,
      read,
      write: (offset, from) => change(offset, from.length, () => write(offset, from)),
      trim: (offset, length) => change(offset, length, () => bytes.fill(1, offset, offset + length)),
      zero: (offset, length) => change(offset, length, () => bytes.fill(0, offset, offset + length)),
    });
    const client = await connect();
    const model = Buffer.alloc(SIZE);
    const answers: Promise<void>[] = [];
    for (let i = 0; i < OPERATIONS; i++) {
      const length = 1 + random.below(random.chance(0.1) ? 700_000 : 9_000);
      const offset = random.below(SIZE - length);
      const kind = random.below(4);
      if (kind === 0) answers.push(client.trim(offset, length));
      else if (kind === 1) answers.push(client.writeZeroes(offset, length));
      else answers.push(client.write(offset, Buffer.alloc(length, i)));
      model.fill(kind === 0 ? 1 : kind === 1 ? 0 : i & 0xff, offset, offset + length);
    }
    await Promise.all(answers);
    t.equal(together, 0, 'no two calls changed the same bytes at the same time');
    t.ok((await client.read(0, SIZE)).equals(model), `round ${round} of seed ${seed}`);
    client.destroy();
  }
});
