// The files over HTTP: which method does what, which status says what, and what a hostile client gets.
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { startControl } from '#src/control/control.js';
import { FsError } from '#src/control/fs/errors.js';
import { FileTree, type Folder, table } from '#src/control/fs/tree.js';
import { tempFolder } from '../../support/tmp.ts';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly allow: string | undefined;
}

interface Started {
  readonly socket: string;
  readonly written: string[];
  readonly reported: unknown[];
  send(method: string, path: string, body?: string | Buffer): Promise<Answer>;
}

async function start(t: Test): Promise<Started> {
  const written: string[] = [];
  const reported: unknown[] = [];
  const folders: Folder = {
    parts: () => [['old', table({})]],
    at: (name) => (name === 'old' ? table({}) : undefined),
    mkdir: (name) => void written.push(`mkdir ${name}`),
    rmdir: () => {
      throw new FsError('EBUSY');
    },
  };
  const files = new FileTree(
    table({
      'a b%ä': { read: async () => 'text', write: (text) => void written.push(text) },
      broken: {
        read: () => {
          throw new Error('broken');
        },
      },
      cgroup: folders,
    }),
  );
  const socket = join(tempFolder(t), 'c');
  const control = await startControl({
    listen: socket,
    stats: () => ({}),
    files,
    onError: (error) => reported.push(error),
  });
  t.teardown(() => control.close());
  const send: Started['send'] = (method, path, body = '') =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath: socket, method, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        const { statusCode: status = 0, headers } = response;
        response.on('end', () => resolve({ status, type: headers['content-type'] ?? '', text, allow: headers.allow }));
      });
      call.on('error', reject);
      call.end(body);
    });
  return { socket, written, reported, send };
}

const FILE = '/v1/fs/a%20b%25%C3%A4';

t.test('GET reads and lists, PUT writes, POST and DELETE make and remove folders', async (t) => {
  const { send, written } = await start(t);
  t.match(await send('GET', FILE), { status: 200, type: 'text/plain; charset=utf-8', text: 'text\n' });
  t.match(await send('GET', '/v1/fs?ls'), { status: 200, text: 'a b%ä\nbroken\ncgroup\n' });
  t.match(await send('GET', '/v1/fs/?ls=long'), { text: '-rw-r--r-- a b%ä\n-r--r--r-- broken\ndrwxr-xr-x cgroup\n' });
  t.match(await send('PUT', FILE, 'ä max\n'), { status: 200, text: '' });
  t.match(await send('PUT', FILE), { status: 200 }, 'an empty text is one');
  t.match(await send('POST', '/v1/fs/cgroup/new'), { status: 200, text: '' });
  t.same(written, ['ä max\n', '', 'mkdir new']);
});

t.test('the status says the kind of mistake, and the text its name', async (t) => {
  const { send, written } = await start(t);
  const refused: [string, string, number, RegExp, (string | Buffer)?][] = [
    ['GET', '/v1/fs/nope', 404, /^ENOENT: no such file or folder\n$/],
    ['GET', '/v1/fs/cgroup', 400, /^EISDIR: /],
    ['GET', '/v1/fs', 400, /^EISDIR: /],
    ['GET', '/v1/fs/a%20b%25%C3%A4/x', 400, /^ENOTDIR: /],
    ['GET', '/v1/fs/../stats', 400, /^EINVAL: /],
    ['GET', '/v1/fs/%2e%2e/stats', 400, /^EINVAL: /],
    ['GET', '/v1/fs/x%2F..%2Fcgroup', 400, /^EINVAL: /],
    ['GET', '/v1/fs/%', 400, /^EINVAL: /],
    ['GET', '/v1/fs/%FF', 400, /^EINVAL: /],
    ['GET', '/v1/fs/%00', 400, /^EINVAL: /],
    ['GET', '/v1/fs/cgroup?ls=all', 400, /^EINVAL: ls is "all", allowed: /],
    ['GET', '/v1/fs/cgroup?l', 400, /^EINVAL: l is unknown/],
    ['PUT', `${FILE}?ls`, 400, /^EINVAL: ls is unknown/],
    ['GET', `/v1/fs/${'x'.repeat(256)}`, 400, /^ENAMETOOLONG: /],
    ['GET', `/v1/fs${'/%C3%A4'.repeat(1400)}`, 400, /^ENAMETOOLONG: /],
    ['PUT', '/v1/fs/broken', 403, /^EACCES: /, 'x'],
    ['PUT', FILE, 400, /^E2BIG: /, 'x'.repeat(4097)],
    ['PUT', FILE, 400, /^E2BIG: /, `${'x'.repeat(4095)}ä`],
    ['PUT', FILE, 400, /^EINVAL: the value is not UTF-8/, Buffer.from([0xff])],
    ['POST', '/v1/fs/new', 403, /^EPERM: /],
    ['POST', '/v1/fs/cgroup/old', 409, /^EEXIST: /],
    ['DELETE', '/v1/fs/cgroup/old', 409, /^EBUSY: /],
    ['DELETE', '/v1/fs/cgroup', 403, /^EPERM: /],
  ];
  for (const [method, path, status, text, body] of refused) {
    t.match(await send(method, path, body), { status, type: /^text\/plain/, text }, `${method} ${path.slice(0, 40)}`);
  }
  t.same(written, []);
  t.match(await send('PUT', FILE, 'x'.repeat(70_000)), { status: 413, type: /json/ });
  t.match(await send('PATCH', FILE), { status: 405, allow: 'GET, PUT, POST, DELETE' });
  t.match(await send('GET', '/v1/fsx'), { status: 404, type: /json/ }, 'no path of these');
  t.match(await send('GET', '/'), { status: 404, text: /"routes":\[.*"\/v1\/fs"\]/ }, 'and these are said');
});

t.test('a fault of ours is no answer of a file', async (t) => {
  const { send, reported } = await start(t);
  t.match(await send('GET', '/v1/fs/broken'), { status: 500, type: /json/ });
  t.match(reported, [{ message: 'broken' }]);
});

t.test('a body that comes in pieces is one value', async (t) => {
  const { socket, written } = await start(t);
  const client = connect(socket);
  const answered = new Promise<string>((resolve) => client.once('data', (data) => resolve(String(data))));
  client.write(`PUT ${FILE} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nma\r\n`);
  client.write('1\r\nx\r\n0\r\n\r\n');
  t.match(await answered, /^HTTP\/1\.1 200/);
  client.destroy();
  t.same(written, ['max']);
});
