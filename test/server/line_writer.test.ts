// Lines that could not be written are counted and said, each once, however often the place they go to fails.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import t from 'tap';
import { LineWriter } from '#src/server/line_writer.js';

t.test('a failure after one that was reported is counted and reported as well', async (t) => {
  const { write } = fs;
  t.teardown(() => {
    fs.write = write;
    syncBuiltinESMExports();
  });
  let broken = false;
  const written: string[] = [];
  fs.write = ((_fd: number, bytes: Buffer, done: (error: Error | null, written: number) => void) => {
    if (broken) return void setImmediate(done, Object.assign(new Error('no space left'), { code: 'ENOSPC' }), 0);
    written.push(String(bytes));
    setImmediate(done, null, bytes.length);
  }) as unknown as typeof fs.write;
  syncBuiltinESMExports();

  const writer = new LineWriter(1, (since, all) => `dropped ${since} of ${all}\n`);
  for (const all of [1, 2, 3]) {
    broken = true;
    writer.write('lost\n');
    await writer.flush(60_000);
    t.equal(writer.dropped, all);
    broken = false;
    writer.write('kept\n');
    await writer.flush(60_000);
    t.strictSame(written.splice(0), ['kept\n', `dropped 1 of ${all}\n`]);
  }
});
