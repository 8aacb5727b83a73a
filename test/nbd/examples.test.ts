// The examples of the library, each as a process, as its header says.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { loopDevice } from '../image/images.ts';
import { missing } from '../support/requires.ts';
import { runAt } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

interface Example {
  readonly socketPath: string;
  readonly said: string;
  stop(): Promise<unknown>;
}

/** The last argument is where it serves. */
async function example(t: Test, name: string, ...args: string[]): Promise<Example> {
  const socketPath = join(tempFolder(t), 'nbd.sock');
  const program = resolve(REPOSITORY, 'src/nbd/dist/examples', `${name}.js`);
  const child = spawn(process.execPath, [program, ...args, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const ready = once(child.stdout, 'data');
  await Promise.race([
    ready,
    ended.then(([code]) => {
      throw new Error(`${name} ended with ${code}`);
    }),
  ]);
  return {
    socketPath,
    said: String((await ready)[0]),
    stop: async () => {
      child.kill('SIGTERM');
      return (await ended)[0];
    },
  };
}

const runExample = (name: string, ...args: string[]) =>
  runAt(REPOSITORY, process.execPath, [resolve(REPOSITORY, 'src/nbd/dist/examples', `${name}.js`), ...args]);

t.test('RAM', async (t) => {
  const { socketPath, said, stop } = await example(t, 'ram', '0');
  t.match(said, /127\.0\.0\.1/, 'a port too');
  const client = await NbdClient.connect({ socketPath, export: 'ram' });
  await client.write(1, Buffer.alloc(500_000, 1));
  await client.trim(100, 1);
  t.ok(
    (await client.read(0, 500_002)).equals(Buffer.alloc(500_002, 1).fill(0, 0, 1).fill(0, 100, 101).fill(0, 500_001)),
  );
  await client.disconnect();
  t.equal(await stop(), 0);
});

t.test('a file', async (t) => {
  const path = join(tempFolder(t), 'image');
  writeFileSync(path, Buffer.alloc(1_000_001, 3));
  const { socketPath, stop } = await example(t, 'file', path);
  const client = await NbdClient.connect({ socketPath });
  t.equal(client.size, 1_000_001);
  await client.write(10, Buffer.alloc(600_000, 4));
  await client.flush();
  const expected = Buffer.alloc(1_000_001, 3).fill(4, 10, 600_010);
  t.ok(readFileSync(path).equals(expected));
  t.ok((await client.read(0, 1_000_001)).equals(expected));
  truncateSync(path, 500_000);
  t.ok((await client.read(0, 491_520)).equals(expected.subarray(0, 491_520)));
  await t.rejects(client.read(499_990, 20), { code: 'EIO' }, 'a file that was cut has no zeros to offer');
  await t.rejects(client.read(900_000, 10), { code: 'EIO' });
  await client.disconnect();
  t.equal(await stop(), 0);
});

t.test('a block device', { skip: missing('root', '/dev/loop-control') }, async (t) => {
  const { socketPath, stop } = await example(t, 'file', loopDevice(t, 1 << 20));
  const client = await NbdClient.connect({ socketPath });
  t.equal(client.size, 1 << 20);
  await client.write((1 << 20) - 10, Buffer.alloc(10, 4));
  t.ok((await client.read((1 << 20) - 11, 11)).equals(Buffer.of(0, ...Buffer.alloc(10, 4))));
  await client.disconnect();
  t.equal(await stop(), 0);
});

t.test('what has no bytes is not served', async (t) => {
  const { code, stderr } = await runExample('file', '/dev/null', join(tempFolder(t), 's'));
  t.equal(code, 1);
  t.match(stderr, /\/dev\/null has no bytes to serve/);
});

t.test('without what they need they say what that is', async (t) => {
  for (const [name, ...args] of [
    ['ram'],
    ['file'],
    ['file', '/dev/null'],
    ['http_image'],
    ['http_image', 'http://x'],
  ]) {
    const { code, stdout, stderr } = await runExample(name, ...args);
    t.equal(code, 2);
    t.equal(stdout, '');
    t.match(stderr, new RegExp(`^usage: node ${name}.js [A-Z]`));
  }
});

t.test('an image behind HTTP', async (t) => {
  const image = Buffer.alloc(3_000_000);
  for (let i = 0; i < image.length; i++) image[i] = (i * 13) >> 7;
  let sent = 0;
  let broken = false;
  const web = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const part = from === undefined ? image : image.subarray(Number(from), Number(to) + 1);
    if (from !== undefined) sent += part.length;
    response.writeHead(broken ? 503 : from === undefined ? 200 : 206, {
      'accept-ranges': 'bytes',
      'content-length': part.length,
    });
    response.end(request.method === 'HEAD' ? undefined : part);
  }).listen(0, '127.0.0.1');
  await once(web, 'listening');
  t.teardown(() => web.closeAllConnections());
  t.teardown(() => web.close());
  const { port } = web.address() as AddressInfo;
  const { socketPath, stop } = await example(t, 'http_image', `http://127.0.0.1:${port}/image`);
  const client = await NbdClient.connect({ socketPath });
  t.equal(client.size, image.length);
  t.ok((await client.read(2_900_000, 100_000)).equals(image.subarray(2_900_000)));
  t.ok(sent < 200_000, 'only what was read was fetched');
  t.ok((await client.read(0, image.length)).equals(image));
  await t.rejects(client.write(0, Buffer.alloc(1)), { code: 'EPERM' });
  broken = true;
  await t.rejects(client.read(0, 1), { code: 'EIO' });
  await client.disconnect();
  t.equal(await stop(), 0);
});

t.test('an image behind HTTP that does not say how long it is', async (t) => {
  const web = createServer((_, response) => response.writeHead(200, { 'accept-ranges': 'bytes' }).end());
  web.listen(0, '127.0.0.1');
  await once(web, 'listening');
  t.teardown(() => web.close());
  const { port } = web.address() as AddressInfo;
  const program = resolve(REPOSITORY, 'src/nbd/dist/examples/http_image.js');
  const socketPath = join(tempFolder(t), 'nbd.sock');
  const { code, stderr } = await runAt('.', process.execPath, [program, `http://127.0.0.1:${port}/image`, socketPath]);
  t.equal(code, 1);
  t.match(stderr, /no parts to be had, or no length/);
});
