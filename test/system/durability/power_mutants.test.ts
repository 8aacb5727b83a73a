// The proof of power_loss.test.ts can fail: with one sync left out a life is found that loses something. Two in a plain run, all
// with ZSWAPD_LONG=1.
import t from 'tap';
import { type Change, changedProgram } from '../../support/changed_program.ts';
import { type LifeOptions, Lives } from '../../support/power/life.ts';
import { Machine } from '../../support/power/machine.ts';
import { untraceable } from '../../support/power/strace.ts';
import { Random } from '../../support/random.ts';
import { MIB } from './images.ts';

interface LeftOut {
  readonly what: string;
  readonly changes: readonly Change[];
  readonly life: Pick<LifeOptions, 'durability' | 'ending'>;
  readonly attributes?: boolean;
  /** In words of what is found. */
  readonly found: RegExp;
  readonly plain?: boolean;
}

const IO = 'image/io.js';
const FDATASYNC: Change = {
  file: IO,
  from: 'fdatasync(fd, (error) => finish(error, 0, done));',
  to: 'setImmediate(finish, null, 0, done);',
};
const STRICT_KILLED = { durability: 'strict', ending: 'kill' } as const;

const LEFT_OUT: readonly LeftOut[] = [
  {
    what: 'the fdatasync before the answer of a FLUSH',
    changes: [FDATASYNC],
    life: STRICT_KILLED,
    found: /start serve .*slot \d+ has/,
    plain: true,
  },
  {
    what: 'the fdatasync of a clean stop',
    changes: [FDATASYNC],
    life: { durability: 'volatile', ending: 'stop' },
    // With attributes the fsync of that which is taken away stands in for it.
    attributes: false,
    found: /start clean .*slot \d+ has/,
  },
  {
    what: 'the fsync of a marker',
    changes: [{ file: 'image/marker_file.js', from: 'fsyncSync(fd);', to: '' }],
    life: STRICT_KILLED,
    found: /start refused .*the marker is unreadable/,
  },
  {
    what: 'the fsync of the folder',
    changes: [{ file: IO, from: 'fsyncSync(fd);', to: '' }],
    life: { durability: 'volatile', ending: 'kill' },
    attributes: false,
    found: /start clean .*slot \d+ has/,
    plain: true,
  },
  {
    what: 'the fsync of the folder at a clean stop',
    changes: [{ file: IO, from: 'await folder.sync();', to: '' }],
    life: { durability: 'volatile', ending: 'stop' },
    found: /start refused .*it was stopped cleanly/,
  },
  {
    what: 'the fsync of a new image',
    changes: [{ file: 'image/prepare.js', from: 'fsyncSync(image.fd);', to: '' }],
    life: STRICT_KILLED,
    found: /start refused .*the file is empty/,
  },
  {
    what: 'the fsync of the attribute that is taken away',
    changes: [{ file: 'image/marks.js', from: 'await promisify(fsync)(fd);', to: ';' }],
    life: { durability: 'volatile', ending: 'stop' },
    found: /start refused .*it was stopped cleanly/,
  },
];

const LONG = process.env.ZSWAPD_LONG === '1';
t.setTimeout(LEFT_OUT.length * 60_000);

for (const { what, changes, life, attributes = true, found } of LEFT_OUT.filter(({ plain }) => LONG || plain)) {
  t.test(`noticed: without ${what}`, { skip: untraceable() }, async (t) => {
    const lives = new Lives(new Machine(t, { size: 2 * MIB, attributes }), new Random(1));
    const server = changedProgram(t, changes);
    const { faults } = await lives.live(t, { ...life, set: ['lanes=0'], operations: 80, server });
    t.match(faults[0], found);
  });
}
