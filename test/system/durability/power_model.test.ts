// What a disk may have after a loss of power, told of a few calls: what power_loss.test.ts relies on.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DiskLog } from '../../support/power/disk_log.ts';
import { draw, statesAround } from '../../support/power/lost.ts';
import { Random } from '../../support/random.ts';
import { tempFolder } from '../../support/tmp.ts';
import { PAGE } from './images.ts';

const hex = (bytes: Uint8Array | string): string =>
  [...Buffer.from(bytes)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

/** A folder with a file of two pages of ones, and the lines of a trace, of which each is a call and a moment. */
function recorded(
  t: Test,
  calls: (folder: string) => readonly string[],
): { log: DiskLog; folder: string; file: string } {
  const folder = join(tempFolder(t), 'disk');
  mkdirSync(folder);
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'file');
  writeFileSync(file, Buffer.alloc(2 * PAGE, 1));
  const log = new DiskLog([folder]);
  const lines = calls(folder).map((call, i) => `7 100.${String(i).padStart(9, '0')} ${call}\n`);
  log.add(lines.join(''));
  return { log, folder, file };
}

/** Whatever may be read of the file at a place, in many draws: the first byte of each sector of its first page. */
function drawn(log: DiskLog, place: number, file: string): Set<string> {
  const random = new Random(3);
  const found = new Set<string>();
  for (let i = 0; i < 300; i++) {
    const bytes = draw(log, place, random).get(file)?.bytes ?? Buffer.alloc(0);
    found.add([...Array(8).keys()].map((sector) => bytes[sector * 512] ?? '-').join(''));
  }
  return found;
}

const write = (file: string, value: number): string =>
  `pwrite64(3<${hex(file)}>, "${hex(Buffer.alloc(PAGE, value))}", ${PAGE}, 0) = ${PAGE} <0.000001>`;
const sync = (path: string, name = 'fdatasync'): string => `${name}(3<${hex(path)}>) = 0 <0.000001>`;

t.test('bytes last from the end of a sync that began after them', async (t) => {
  const { log, file } = recorded(t, (folder) => {
    const file = join(folder, 'file');
    return [write(file, 2), sync(file), write(file, 3)];
  });
  t.same([...drawn(log, -0.5, file)], ['11111111'], 'before');
  const open = drawn(log, 1.25, file);
  t.ok(open.has('11111111') && open.has('22222222'), 'while it is synced: there or not');
  t.ok(
    [...open].some((sectors) => /1/.test(sectors) && /2/.test(sectors)),
    'or torn',
  );
  t.same([...drawn(log, 1.75, file)], ['22222222'], 'it lasts');
  const newer = drawn(log, 3, file);
  t.ok(newer.has('22222222') && newer.has('33333333'));
  t.notOk(
    [...newer].some((sectors) => /1/.test(sectors)),
    'what was replaced for good does not come back',
  );
});

t.test('a sync that failed, or that began before the end of a write, makes nothing last', async (t) => {
  const { log, file } = recorded(t, (folder) => {
    const file = join(folder, 'file');
    return [
      write(file, 2).replace(/\) = .*/, ' <unfinished ...>'),
      sync(file),
      `<... pwrite64 resumed>) = ${PAGE} <0.000003>`,
      `${sync(file).replace(/ = .*/, '')} = -1 EIO (Input/output error) <0.000001>`,
    ];
  });
  t.ok(drawn(log, log.end, file).has('11111111'));
});

t.test('a name lasts from a sync of its folder, and a rename is never half done', async (t) => {
  const { log, folder } = recorded(t, (folder) => {
    const temporary = join(folder, 'm.tmp');
    return [
      `openat(AT_FDCWD<${hex('/')}>, "${hex(temporary)}", O_WRONLY|O_CREAT|O_EXCL, 0600) = 4<${hex(temporary)}> <0.000001>`,
      `write(4<${hex(temporary)}>, "${hex('text')}", 4) = 4 <0.000001>`,
      sync(temporary, 'fsync'),
      `rename("${hex(temporary)}", "${hex(join(folder, 'm'))}") = 0 <0.000001>`,
      sync(folder, 'fsync'),
    ];
  });
  const names = (place: number): string[] =>
    statesAround(log, place, undefined)
      .map((state) =>
        [...state].map(([path, { bytes }]) => `${path.slice(folder.length + 1)}=${bytes.length}`).join(' '),
      )
      .sort();
  t.same([...new Set(names(1.75))], ['file=8192', 'file=8192 m.tmp=0', 'file=8192 m.tmp=4']);
  t.same([...new Set(names(3.75))], ['file=8192', 'file=8192 m.tmp=4', 'file=8192 m=4'], 'before the folder is synced');
  t.same([...new Set(names(4.75))], ['file=8192 m=4']);
});
