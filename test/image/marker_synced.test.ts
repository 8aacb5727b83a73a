// What of a marker is on the disk after a power cut: the order of writes, syncs and renames, as the file system is told.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { newMarker, readMarker, removeMarker, writeMarker } from '#src/image/marker.js';
import { tempFolder } from '../support/tmp.ts';

const INFO = newMarker({ identity: '1:2', bytes: 4096 }, 'volatile');

/** Names what is done to which file, while the real calls are made. */
function recorded(t: Test, work: () => void): string[] {
  const steps: string[] = [];
  const names = new Map<number, string>();
  const { openSync, writeSync, fsyncSync, closeSync, renameSync, unlinkSync } = fs;
  const real = { openSync, writeSync, fsyncSync, closeSync, renameSync, unlinkSync };
  const wrap = (name: 'writeSync' | 'fsyncSync' | 'closeSync'): void => {
    const call = real[name] as (fd: number, ...rest: unknown[]) => unknown;
    Object.assign(fs, {
      [name]: (fd: number, ...rest: unknown[]) => {
        steps.push(`${name.replace('Sync', '')} ${names.get(fd)}`);
        return call(fd, ...rest);
      },
    });
  };
  for (const name of ['writeSync', 'fsyncSync', 'closeSync'] as const) wrap(name);
  Object.assign(fs, {
    openSync: (path: string, ...rest: [string, number]) => {
      const fd = real.openSync(path, ...rest);
      names.set(fd, basename(path));
      return fd;
    },
    renameSync: (from: string, to: string) => {
      steps.push(`rename ${basename(from)} ${basename(to)}`);
      real.renameSync(from, to);
    },
    unlinkSync: (path: string) => {
      steps.push(`unlink ${basename(path)}`);
      real.unlinkSync(path);
    },
  });
  syncBuiltinESMExports();
  const restore = (): void => {
    Object.assign(fs, real);
    syncBuiltinESMExports();
  };
  t.teardown(restore);
  try {
    work();
  } finally {
    restore();
  }
  return steps.filter((step) => !step.startsWith('close'));
}

t.test('a marker is synced before it has its name, and its name before anybody goes on', async (t) => {
  const folder = tempFolder(t);
  const steps = recorded(t, () => writeMarker(join(folder, 'm'), INFO));
  t.same(steps, ['unlink m.tmp', 'write m.tmp', 'fsync m.tmp', 'rename m.tmp m', `fsync ${basename(folder)}`]);
  t.same(readMarker(join(folder, 'm')), INFO);
});

t.test('a marker that is removed is gone from the disk before anybody goes on', async (t) => {
  const folder = tempFolder(t);
  writeMarker(join(folder, 'm'), INFO);
  t.same(
    recorded(t, () => removeMarker(join(folder, 'm'))),
    ['unlink m', `fsync ${basename(folder)}`],
  );
  t.equal(readMarker(join(folder, 'm')), null);
});
