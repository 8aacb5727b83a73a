// What a supervisor does not start again: an image that may not be served, a stop that was asked for, what no start mends.
import t from 'tap';
import { startSupervised } from '../support/supervised.ts';
import { tempFolder } from '../support/tmp.ts';
import { failedStart } from '../support/zswapd.ts';

t.test('a volatile server that was killed leaves a stale image: exit 3, and what to do', async (t) => {
  const server = await startSupervised(t);
  await (await server.connect()).disconnect();
  process.kill(server.server()!, 'SIGKILL');
  const { code, stderr } = await server.ended;
  t.equal(code, 3);
  t.match(stderr, /zswapd image reset/);
  t.match(
    stderr,
    /durability is volatile: a server that is killed leaves a stale image/,
    'which was said at the start',
  );
  await t.rejects(server.connect(), 'nobody waits for a server that does not come');
});

t.test('a server that is stopped by somebody else is not started again', async (t) => {
  const server = await startSupervised(t);
  process.kill(server.server()!, 'SIGTERM');
  t.match(await server.ended, { code: 0 });
});

t.test('what no start mends ends with its code at once', async (t) => {
  const server = await startSupervised(t);
  const folder = tempFolder(t);
  // Only the server itself opens its control socket.
  const refused = await failedStart(t, { folder, supervise: true, set: [`control.listen=${server.controlPath}`] });
  t.equal(refused.code, 2, refused.stderr);
  t.match(refused.stderr, /a server already answers on this socket/);
  const exports = [{ name: 'swap0', size: '8MiB', image: `${folder}/image`, onUnclean: 'reset' }];
  const other = await failedStart(t, { folder, supervise: true, exports });
  t.match(other, { code: 2, stderr: 'exports[0].onUnclean: "reset" with durability volatile' });
  const unknown = await failedStart(t, { folder, supervise: true, set: ['supervise.often=1'] });
  t.equal(unknown.code, 2);
  t.notMatch(unknown.stderr, 'part');
});
