// What somebody else does to the bytes of an image while it is served: EIO, counted and told with slot and memcg, and never data.
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import t from 'tap';
import { pageOf } from '../../support/random.ts';
import { failedStart, startServer } from '../../support/zswapd.ts';
import { errorOf, writeSlots, wrongSlots } from './images.ts';

const PAGE = 4096;
const COUNT = 3072;

t.test('pages of the image that were flipped, lost, misdirected or are of another time', async (t) => {
  const server = await startServer(t, { size: '16MiB', set: ['pool.max=1MiB', 'pool.incompressible=reject'] });
  const client = await server.connect();
  await writeSlots(client, 0, COUNT);
  const pool = async () => (await server.stats()).pool;
  const stamp = async (): Promise<string> => JSON.stringify(await pool());
  for (let before = ''; before !== (await stamp()); ) before = await stamp();
  const fd = openSync(server.image, 'r+');
  t.teardown(() => closeSync(fd));
  const page = (slot: number): Buffer => {
    const bytes = Buffer.alloc(PAGE);
    readSync(fd, bytes, 0, PAGE, slot * PAGE);
    return bytes;
  };
  const there = Array.from({ length: COUNT }, (_, slot) => slot).filter((slot) =>
    page(slot).some((byte) => byte !== 0),
  );
  t.ok(there.length > 8, `${there.length} pages were written back`);
  const [flipped, lost, misdirected, old, right] = there;
  const change = (slot: number, bytes: Buffer): void => void writeSync(fd, bytes, 0, PAGE, slot * PAGE);
  const bytes = page(flipped);
  bytes[2047] ^= 1;
  change(flipped, bytes);
  change(lost, Buffer.alloc(PAGE));
  change(misdirected, page(right));
  change(old, pageOf(old, 9));
  fsyncSync(fd);
  const wrong = [flipped, lost, misdirected, old];
  const mismatches = async (): Promise<number> => (await pool()).checksum_mismatch;
  t.equal(await mismatches(), 0);
  for (const slot of wrong) t.equal(await errorOf(client.read(slot * PAGE, PAGE)), 'EIO');
  t.equal(await mismatches(), wrong.length);
  t.equal(await errorOf(client.write(flipped * PAGE + 10, Buffer.alloc(20))), 'EIO', 'nor is a part written into it');
  const lines = (await server.logged('a page is not what was stored', wrong.length)).map((line) => JSON.parse(line));
  t.match(
    lines,
    wrong.map((slot) => ({ level: 50, export: 'swap0', slot, tier: 'image', memcg: /./ })),
  );
  const [last, ...others] = wrong;
  for (const slot of others) await client.write(slot * PAGE, pageOf(slot, 0));
  t.same(
    await wrongSlots(client, 0, COUNT),
    [`${last}: NbdError: input/output error`],
    'who writes it has it again, and the others were right',
  );
  await client.disconnect();
  const { code, stderr } = await server.stop();
  t.match([code, stderr], [4, '1 page of swap0 was lost'], 'and no stop passes the other one off as right');
  t.match(await failedStart(t, { folder: server.folder, size: '16MiB' }), { code: 3 });
});
