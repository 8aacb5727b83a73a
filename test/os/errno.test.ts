// Names of error numbers, of which libuv knows fewer than the system.
import { constants } from 'node:os';
import t from 'tap';
import { errnoName } from '#src/os/errno.js';
import { errorCode, errorText } from '#src/os/exit_error.js';

/** What a call on a file of a network file system fails with when the server has forgotten it. */
const { ESTALE } = constants.errno;

t.test('a number has the name that the system has for it', async (t) => {
  t.equal(errnoName(constants.errno.ENOSPC), 'ENOSPC');
  t.equal(errnoName(-ESTALE), 'ESTALE');
  t.equal(errnoName(ESTALE), 'ESTALE');
  t.equal(errnoName(constants.errno.EAGAIN), 'EAGAIN');
  t.equal(errnoName(3999), 'errno 3999');
});

t.test('an error of the system is told by its name too, where Node has none', async (t) => {
  const unknown = `Unknown system error -${ESTALE}`;
  const error = Object.assign(new Error(`${unknown}: ${unknown}, open '/mnt/image'`), { code: unknown });
  t.equal(errorText(error), "ESTALE, open '/mnt/image'");
  t.equal(errorCode(error), 'ESTALE');
  t.equal(errorText(new Error('EIO: i/o error, read')), 'EIO: i/o error, read');
});
