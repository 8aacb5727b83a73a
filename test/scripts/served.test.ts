// Which file a test or a benchmark starts: never one that was joined of other modules than there are now.
import { mkdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { servedProgram } from '#src/scripts/support/served.js';
import { tempFolder } from '../support/tmp.ts';

t.test('the joined program, unless a module was compiled since, went, or none was joined', async (t) => {
  const root = tempFolder(t);
  const module = join(root, 'dist/a.js');
  mkdirSync(join(root, 'dist/bin'), { recursive: true });
  writeFileSync(module, '');
  t.equal(servedProgram(root), join(root, 'dist/main.js'), 'none was joined');
  const list = (at: number) => writeFileSync(join(root, 'dist/bin/modules.json'), JSON.stringify({ 'dist/a.js': at }));
  list(statSync(module).mtimeMs);
  t.equal(servedProgram(root), join(root, 'dist/bin/main.js'));
  utimesSync(module, 1, 1);
  t.equal(servedProgram(root), join(root, 'dist/main.js'), 'compiled since');
  list(statSync(module).mtimeMs);
  t.equal(servedProgram(root), join(root, 'dist/bin/main.js'));
  writeFileSync(join(root, 'dist/bin/modules.json'), JSON.stringify({ 'dist/gone.js': 1 }));
  t.equal(servedProgram(root), join(root, 'dist/main.js'), 'a module is gone');
});
