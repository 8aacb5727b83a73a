// An image without O_DIRECT does not fill the RAM with page cache, whether a guest swaps out or back in: fincore(1) counts.
import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import t from 'tap';
import { READ_CACHE_BYTES } from '#src/image/descriptor_image.js';
import { chooseSeed, Random } from '../support/random.ts';
import { missing } from '../support/requires.ts';
import { startServer } from '../support/zswapd.ts';

const MIB = 2 ** 20;
const CHUNK = MIB / 4;
const TMPFS = 0x01021994;
const isLong = process.env.ZSWAPD_LONG === '1';
const bytes = (isLong ? 512 : 24) * MIB;
const SYNC_EVERY = 4 * MIB;
/** Writes and reads that are under way when the cache is dropped. */
const SLACK = 4 * MIB;
/** Out of step with both bounds, or each look would come right after a drop. */
const LOOK_EVERY = 3 * MIB;

const skip = statfsSync(tmpdir()).type === TMPFS ? 'a file of tmpfs is page cache' : missing('fincore');
const seed = chooseSeed();
t.comment(`reproduce with ZSWAPD_SEED=${seed}`);

function cached(image: string): number {
  return Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', image], { encoding: 'utf8' }));
}

t.test('the page cache of an image stays bounded', { skip }, async (t) => {
  const set = ['image.direct=off', `image.syncEvery=${SYNC_EVERY}`, 'pool.max=1MiB', 'lanes=1'];
  const server = await startServer(t, { size: String(bytes), set });
  const client = await server.connect();
  const random = new Random(seed);
  const noise = Buffer.alloc(CHUNK);
  const most = { written: 0, read: 0 };
  for (let at = 0; at < bytes; at += CHUNK) {
    for (let word = 0; word < CHUNK; word += 4) noise.writeUInt32LE(random.below(2 ** 32), word);
    await client.write(at, noise);
    if (at % LOOK_EVERY === 0) most.written = Math.max(most.written, cached(server.image));
  }
  for (let at = 0; at < bytes; at += CHUNK) {
    await client.read(at, CHUNK);
    if (at % LOOK_EVERY === 0) most.read = Math.max(most.read, cached(server.image));
  }
  t.comment(
    `at most ${most.written / MIB} MiB while ${bytes / MIB} were written, ${most.read / MIB} while they were read`,
  );
  t.ok(most.written <= SYNC_EVERY + SLACK, 'while it is written');
  // The lane's own, and what was left of writing.
  t.ok(most.read <= READ_CACHE_BYTES + SYNC_EVERY + SLACK, 'while it is read');
  await client.disconnect();
  t.equal((await server.stop()).code, 0);
});
