import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openPort } from '#src/agent/serial_port.js';
import { tempFolder } from '../support/tmp.ts';

t.test('bytes go both ways, and what was there before is for nobody', async (t) => {
  // A fifo that is open for both gives back what is written to it, and is read without waiting as a port is.
  const fifo = join(tempFolder(t), 'port');
  execFileSync('mkfifo', [fifo]);
  const other = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => closeSync(other));
  writeSync(other, 'an answer to somebody else');
  const port = openPort(fifo);
  const late = once(port, 'data');
  writeSync(other, 'hello');
  t.equal(String((await late)[0]), 'hello');
  port.pause();
  const echoed = once(port, 'data');
  // More than a fifo holds: it is written as there is room.
  const large = Buffer.alloc(200_000, 'x');
  port.write(large);
  port.resume();
  t.match(String((await echoed)[0]), /^x+$/);
  port.destroy();
  await once(port, 'close');
  const rest = Buffer.alloc(10);
  writeSync(other, 'y'.repeat(5));
  t.ok(readSync(other, rest) > 0);
});

t.test('a port that is not there is an error of the request', async (t) => {
  t.throws(() => openPort('/nonexistent/port'), { code: 'ENOENT' });
});
