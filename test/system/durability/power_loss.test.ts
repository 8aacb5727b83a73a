/**
 * A strict server loses nothing that was flushed to a machine that loses its power: its disk has then what was synced, and of the rest
 * any part, in any order, torn between sectors.
 *
 * The server is a real one on a real file system, and strace sees what it does there: every call that changes a file, in the
 * order of threads that run at once, whoever makes it (libuv, koffi). A decorator inside would see what the server means to do, and a
 * FUSE file system is another one to it: inodes, sizes and O_DIRECT are not what they are on a disk.
 *
 * Of each life every place is looked at where power may be lost, and all that each block may hold then. One loss is drawn
 * and put on the disk, and the next server starts on that. Three lives in a plain run, 200 with ZSWAPD_LONG=1.
 */
import t from 'tap';
import { Lives } from '../../support/power/life.ts';
import { Machine } from '../../support/power/machine.ts';
import { untraceable } from '../../support/power/strace.ts';
import { chooseSeed, Random } from '../../support/random.ts';
import { MIB } from './images.ts';

const LONG = process.env.ZSWAPD_LONG === '1';
const LIVES = LONG ? 200 : 3;
const settings = [
  ['pool.max=1MiB', 'lanes=1'],
  ['pool.max=64MiB', 'lanes=0'],
  ['pool.max=1MiB', 'lanes=0', 'image.direct=off'],
  ['pool.max=64MiB', 'pool.incompressible=store', 'lanes=1'],
];

const seed = LONG ? chooseSeed() : 1;
const random = new Random(seed);
t.setTimeout(LIVES * 30_000);
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);

t.test(`what was flushed outlives a loss of power, ${LIVES} lives`, { skip: untraceable() }, async (t) => {
  let lives = new Lives(new Machine(t, { size: 2 * MIB, attributes: random.chance(0.5) }), random);
  for (let number = 0; number < LIVES; number++) {
    if (number % 20 === 19)
      lives = new Lives(new Machine(t, { size: 2 * MIB, attributes: random.chance(0.5) }), random);
    const ending = random.chance(0.3) ? 'stop' : 'kill';
    const swapoff = random.chance(0.2);
    const operations = 60 + random.below(LONG ? 400 : 100);
    const set = settings[number % settings.length];
    const looked = await lives.live(t, { durability: 'strict', set, operations, ending, swapoff });
    t.same(looked.faults, [], `life ${number}: ${looked.cuts} cuts`);
    const { clean, serve, refused } = looked.starts;
    t.not(serve, 0);
    const what = `${ending} after ${operations} operations (${set.join(' ')}${swapoff ? ', swapoff' : ''})`;
    const starts = `${looked.cuts} cuts, ${looked.states} states of the marker: ${clean} clean starts, ${serve} with a word, ${refused} refused`;
    if (ending === 'kill' && random.chance(0.3)) {
      lives.goOn();
      t.comment(`life ${number}: ${what}: ${starts}; no power lost`);
    } else {
      const { cut, start } = lives.loseAnywhere(ending === 'stop' && random.chance(0.3));
      t.comment(`life ${number}: ${what}: ${starts}; power lost at ${cut.place}, ${start}`);
    }
  }
});
