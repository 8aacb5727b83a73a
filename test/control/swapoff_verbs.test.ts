// swapoff and swapon on a real server: what is refused, what is discarded, what stays, and what clients are told.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { NBD_ESHUTDOWN } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { startServer } from '../support/one_thread.ts';
import { makePage } from '../support/pool.ts';
import { until } from '../support/until.ts';
import { MAIN, type RunningServer } from '../support/zswapd.ts';

const PAGE = 4096;

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `zswapd VERB EXPORT ...` against the server. */
function verb(server: RunningServer, ...args: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args, '--control', server.controlPath], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A page with a swap signature, as mkswap writes it. */
function header(): Buffer {
  const page = Buffer.alloc(PAGE);
  page.writeUInt32LE(1, 1024);
  page.writeUInt32LE(4095, 1028);
  page.fill(0xab, 1036, 1052);
  page.write('tests', 1052);
  page.write('SWAPSPACE2', PAGE - 10);
  return page;
}

/** The header, text in slots 1 to 40, and noise far away, where another tree is. */
async function fill(server: RunningServer): Promise<void> {
  const client = await server.connect();
  await client.write(0, header());
  for (let slot = 1; slot <= 40; slot++) await client.write(slot * PAGE, Buffer.from(makePage('text', slot)));
  await client.write(16_384 * PAGE, Buffer.from(makePage('text', 99)));
  await client.disconnect();
}

const server = (t: Test, ...set: string[]): Promise<RunningServer> => startServer(t, { size: '128MiB', set });

/** 0, or the error that the server answered. */
async function errnoOf(done: Promise<unknown>): Promise<number> {
  try {
    await done;
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

const idle = (s: RunningServer) => until(async () => (await s.stats()).exports[0].clients === 0);

t.test('swapoff discards all slots but the header; writes answer ESHUTDOWN until swapon', async (t) => {
  const s = await server(t);
  await fill(s);
  await idle(s);
  t.match(await verb(s, 'swapoff', 'swap0'), { code: 0, stdout: /"state":"off".*"freed_pages":41\}/ });
  const stats = await s.stats();
  t.match(stats.exports[0], { state: 'off', used_pages: 1, lost_pages: 0 });
  t.equal(stats.pool.stored_pages, 0);
  const client = await s.connect();
  t.ok((await client.read(0, PAGE)).equals(header()), 'the header stays');
  t.ok(
    (await client.read(PAGE, PAGE)).every((byte) => byte === 0),
    'the rest reads as zeros',
  );
  t.equal(await errnoOf(client.write(PAGE, header())), NBD_ESHUTDOWN);
  t.equal(await errnoOf(client.trim(0, PAGE)), NBD_ESHUTDOWN);
  // The server goes on, so it is not what is said to stop.
  await t.rejects(client.write(PAGE, header()), { message: /the export is shut down, or the server is/ });
  await client.disconnect();
  t.match(await verb(s, 'swapon', 'swap0'), { code: 0, stdout: /"state":"on"/ });
  await fill(s);
  const again = await s.connect();
  t.ok((await again.read(40 * PAGE, PAGE)).equals(Buffer.from(makePage('text', 40))));
  await again.disconnect();
  t.match(await s.stop(), { code: 0 });
});

t.test('the image holds nothing of discarded slots after a clean stop', async (t) => {
  const s = await server(t, 'pool.max=1MiB');
  const client = await s.connect();
  await client.write(0, header());
  for (let slot = 1; slot < 600; slot++) await client.write(slot * PAGE, Buffer.from(makePage('random', slot)));
  await client.disconnect();
  await idle(s);
  t.match(await verb(s, 'swapoff', 'swap0'), { code: 0 });
  t.match(await s.stop(), { code: 0 });
  const image = readFileSync(s.image);
  t.ok(image.subarray(0, PAGE).equals(header()));
  t.ok(image.subarray(PAGE).every((byte) => byte === 0));
});

t.test('--keep leaves every page readable, from the image', async (t) => {
  const s = await server(t);
  await fill(s);
  await idle(s);
  t.match(await verb(s, 'swapoff', 'swap0', '--keep'), { code: 0, stdout: /"kept":true/ });
  t.equal((await s.stats()).pool.stored_pages, 0);
  const client = await s.connect();
  t.ok((await client.read(7 * PAGE, PAGE)).equals(Buffer.from(makePage('text', 7))));
  t.ok((await client.read(16_384 * PAGE, PAGE)).equals(Buffer.from(makePage('text', 99))));
  t.equal(await errnoOf(client.write(PAGE, header())), NBD_ESHUTDOWN);
  await client.disconnect();
  t.match(await s.stop(), { code: 0 });
});

t.test('what does not fit is refused in one line', async (t) => {
  const s = await server(t);
  const client = await s.connect();
  t.match(await verb(s, 'swapoff', 'nope'), { code: 1, stderr: /no export nope, allowed: swap0\n$/ });
  t.match(await verb(s, 'swapoff', 'swap0'), {
    code: 1,
    stderr: /swap0 has 1 connected client, allowed: with --force\n$/,
  });
  t.match(await verb(s, 'swapon', 'swap0'), { code: 1, stderr: /export swap0 is not swapped off\n$/ });
  t.match(await verb(s, 'swapoff', 'swap0', '--force'), { code: 0 });
  t.match(await verb(s, 'swapoff', 'swap0', '--force'), { code: 1, stderr: /swapped off already\n$/ });
  t.equal(await errnoOf(client.write(PAGE, header())), NBD_ESHUTDOWN, 'the client that stayed is told as well');
  await client.disconnect();
  t.match(await s.stop(), { code: 0 });
});

t.test('a swap signature is shown and counted, also after a restart', async (t) => {
  const s = await server(t);
  t.equal((await s.stats()).exports[0].swap_signature, null);
  await fill(s);
  const shown = { version: 1, last_page: 4095, uuid: 'abababab-abab-abab-abab-abababababab', label: 'tests' };
  const stats = await s.stats();
  t.match(stats.exports[0].swap_signature, shown);
  t.equal(stats.pool.swap_signatures, 1);
  t.equal(stats.exports[0].used_pages, 42, 'no slot is invalidated');
  t.match(await s.stop(), { code: 0 });
  const next = await startServer(t, { size: '128MiB', folder: s.folder });
  t.match((await next.stats()).exports[0].swap_signature, shown);
});
