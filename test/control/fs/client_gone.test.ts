// A file whose writing takes long is told when its client goes, and so can end what it does for nobody.
import { EventEmitter, once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { startControl } from '#src/control/control.js';
import { FileTree, table } from '#src/control/fs/tree.js';
import { tempFolder } from '../../support/tmp.ts';

t.test('the writing of a client that goes is told so, and that of one that waits is not', async (t) => {
  const writes = new EventEmitter();
  const signals: AbortSignal[] = [];
  const write = async (_: string, gone: AbortSignal): Promise<void> => {
    signals.push(gone);
    writes.emit('begun');
    await once(writes, 'end');
  };
  const socketPath = join(tempFolder(t), 'c');
  const control = await startControl({
    listen: socketPath,
    stats: () => ({}),
    files: new FileTree(table({ slow: { write } })),
    onError: (error) => t.fail(`${error}`),
  });
  t.teardown(() => control.close());
  const put = async () => {
    const call = request({ socketPath, method: 'PUT', path: '/v1/fs/slow', agent: false });
    const begun = once(writes, 'begun');
    call.end('x');
    await begun;
    return call;
  };
  const goes = await put();
  const waits = await put();
  // What is cut off ends with an error.
  goes.on('error', () => undefined);
  goes.destroy();
  await once(signals[0], 'abort');
  t.equal(signals[1].aborted, false);
  const answered = once(waits, 'response');
  writes.emit('end');
  const [{ statusCode }] = await answered;
  t.equal(statusCode, 200);
});
