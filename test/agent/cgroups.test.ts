import { mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Cgroups } from '#src/agent/cgroups.js';
import { tempFolder } from '../support/tmp.ts';

t.test('folders are found with their numbers, and those that went are told', async (t) => {
  const root = tempFolder(t);
  mkdirSync(join(root, 'a/b'), { recursive: true });
  writeFileSync(join(root, 'a/cgroup.procs'), '');
  const cgroups = new Cgroups(root);
  t.same(cgroups.walk(), []);
  const id = (path: string): number => statSync(join(root, path)).ino;
  t.equal(cgroups.pathOf(id('/')), '/');
  t.equal(cgroups.pathOf(id('/a/b')), '/a/b');
  t.equal(cgroups.idOf('/a'), id('/a'));
  const gone = id('/a/b');
  rmdirSync(join(root, 'a/b'));
  t.same(cgroups.walk(), [gone]);
  t.equal(cgroups.idOf('/a/b'), undefined);
  t.equal(cgroups.living(gone), id('/a'), 'what is charged to it is charged to its parent');
});

t.test('one that is gone stands for its nearest ancestor that lives, also when that goes', async (t) => {
  const cgroups = new Cgroups('/none');
  cgroups.made(1, '/');
  cgroups.made(2, '/a');
  cgroups.made(3, '/a/b');
  cgroups.removed(3);
  t.equal(cgroups.living(3), 2);
  cgroups.removed(2);
  t.equal(cgroups.living(3), 1);
  t.equal(cgroups.living(2), 1);
  cgroups.made(4, '/a');
  t.equal(cgroups.living(3), 4, 'a new one of the same path is its parent now, as good as any');
  t.equal(cgroups.living(77), undefined);
});

t.test('a path that is made again is another cgroup', async (t) => {
  const cgroups = new Cgroups('/none');
  cgroups.made(1, '/');
  cgroups.made(5, '/a');
  cgroups.made(6, '/a');
  t.equal(cgroups.idOf('/a'), 6);
  t.equal(cgroups.living(5), 1, 'the new one has nothing of it');
  t.equal(cgroups.size, 2);
});

t.test('more cgroups than the bound are not noted', async (t) => {
  const cgroups = new Cgroups('/none');
  for (let id = 1; id <= 70_000; id++) cgroups.made(id, `/${id}`);
  t.equal(cgroups.size, 65_536);
  for (let id = 1; id <= 65_536; id++) cgroups.removed(id);
  for (let id = 70_001; id <= 70_010; id++) {
    cgroups.made(id, `/${id}`);
    cgroups.removed(id);
  }
  t.equal(cgroups.pathOf(1), undefined, 'the oldest that are gone are forgotten');
  t.equal(cgroups.pathOf(70_010), '/70010');
});

t.test('a name that is no UTF-8 is nobody, because two of them may look the same', async (t) => {
  const root = tempFolder(t);
  for (const byte of [0xf0, 0xf1]) mkdirSync(Buffer.concat([Buffer.from(`${root}/a`), Buffer.of(byte)]));
  mkdirSync(Buffer.concat([Buffer.from(`${root}/a`), Buffer.of(0xf0), Buffer.from('/b')]));
  const cgroups = new Cgroups(root);
  for (let i = 0; i < 2; i++) t.same(cgroups.walk(), [], 'none has gone');
  t.equal(cgroups.size, 1);
  // As the kernel's events tell it.
  cgroups.made(77, '/a\ufffd');
  cgroups.made(78, '/a\ufffd/b');
  t.same([cgroups.size, cgroups.living(77), cgroups.idOf('/a\ufffd')], [1, undefined, undefined]);
});
