// Marks of a file that the file system does not let us change: what is still there must not pass for gone, nor an old one for ours.
import { chmodSync, chownSync, closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ATTRIBUTE, changeMarkLater, type Mark, readMark, removeMark, setMark } from '#src/image/marks.js';
import { getAttribute } from '#src/os/syscalls.js';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';

const NOBODY = 65534;
const OURS = Buffer.from('ours');
const skip = missing('root');

/** Whether and how a file is closed to a process that has it open. */
type Change = (path: string) => void;
const TAKEN: Change = (path) => chownSync(path, 0, 0);
const READ_ONLY: Change = (path) => chmodSync(path, 0o444);

/** An open file of nobody's, that root may still look at. */
function file(t: Test): { path: string; mark: Mark } {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, '', { mode: 0o600 });
  chownSync(path, NOBODY, NOBODY);
  const fd = openSync(path, 'r+');
  t.teardown(() => closeSync(fd));
  return { path, mark: { fd, name: ATTRIBUTE } };
}

/** Does it as somebody whom file modes bind. */
async function bound<T>(work: () => T | Promise<T>): Promise<T> {
  process.seteuid!(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

const there = ({ fd, name }: Mark): boolean => getAttribute(fd, name, Buffer.alloc(4096)) >= 0;

for (const [how, change] of [
  ['was given to another user', TAKEN],
  ['is read-only by now', READ_ONLY],
] as const) {
  t.test(`a mark that can't be taken from a file that ${how} is not gone`, { skip }, async (t) => {
    const { path, mark } = file(t);
    await bound(() => {
      readMark(mark);
      setMark(mark, OURS);
    });
    change(path);
    await bound(async () => {
      const expected = { message: /^the attribute user\.zswapd of the file can't be removed \(EACCES\)$/ };
      t.throws(() => removeMark(mark), expected);
      await t.rejects(changeMarkLater(mark, null), expected);
    });
    t.ok(there(mark));
  });
}

t.test('where there is no mark, none has to be taken away, whoever may do so', { skip }, async (t) => {
  const { path, mark } = file(t);
  READ_ONLY(path);
  await bound(async () => {
    removeMark(mark);
    await changeMarkLater(mark, null);
  });
});

t.test('an old mark that says something else is not left for a new one', { skip }, async (t) => {
  const { path, mark } = file(t);
  setMark(mark, Buffer.from('another'));
  READ_ONLY(path);
  await bound(async () => {
    const expected = { message: /^the attribute user\.zswapd of the file can't be set \(EACCES\)$/ };
    t.throws(() => setMark(mark, OURS), expected);
    await t.rejects(changeMarkLater(mark, OURS), expected);
  });
});

t.test(
  'a file that can not be marked goes without, and so does one that says the same already',
  { skip },
  async (t) => {
    const { path, mark } = file(t);
    READ_ONLY(path);
    await bound(() => setMark(mark, OURS));
    t.notOk(there(mark));
    setMark(mark, OURS);
    await bound(() => setMark(mark, OURS));
    await bound(() => changeMarkLater(mark, OURS));
  },
);

t.test('where attributes were out of reach from the first look on, nothing is asked of them', { skip }, async (t) => {
  const { path, mark } = file(t);
  TAKEN(path);
  await bound(async () => {
    t.equal(readMark(mark).state, null);
    setMark(mark, OURS);
    await changeMarkLater(mark, OURS);
    removeMark(mark);
    await changeMarkLater(mark, null);
  });
});
