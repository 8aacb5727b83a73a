/**
 * strict, a real server, a kill at the answer of FLUSH: slots that are overwritten while the FLUSH runs read afterwards as
 * they were answered before it, or newer. Once with all pages in the pool, once with most on their way to the image.
 */
import t, { type Test } from 'tap';
import { pageOf } from '../../support/random.ts';
import { startServer } from '../../support/zswapd.ts';
import { PAGE, readDevice } from './images.ts';

const SLOTS = 32_768;
const CHUNK = 256;
const DEPTH = 64;
const set = ['durability=strict', 'lanes=2'];

async function fill(t: Test, pool: string) {
  const server = await startServer(t, { size: '128MiB', set: [...set, `pool.max=${pool}`] });
  const client = await server.connect();
  for (let slot = 0; slot < SLOTS; slot += CHUNK) {
    const pages = Array.from({ length: CHUNK }, (_, i) => pageOf(slot + i, 1));
    await client.write(slot * PAGE, Buffer.concat(pages));
  }
  return { server, client };
}

for (const pool of ['256MiB', '16MiB']) {
  t.test(`pool.max=${pool}`, async (t) => {
    const { server, client } = await fill(t, pool);
    const writer = await server.connect();
    /** What each slot was answered as when the FLUSH was sent. */
    const versions = new Uint8Array(SLOTS).fill(1);
    let next = 0;
    let killed = false;
    const overwrite = async (): Promise<void> => {
      while (!killed) {
        // From both ends, so that whatever order the server works in, it meets slots that change before it is there.
        const n = next++ % SLOTS;
        const slot = n % 2 === 0 ? n : SLOTS - n;
        try {
          await writer.write(slot * PAGE, pageOf(slot, 2));
        } catch (error) {
          if (!killed) throw error;
          return;
        }
        versions[slot] = 2;
      }
    };
    const writers = Array.from({ length: DEPTH }, () => overwrite());
    while (next < 2 * DEPTH) await new Promise((resolve) => setImmediate(resolve));
    const promised = versions.slice();
    await client.flush();
    killed = true;
    await server.kill9();
    await Promise.all(writers);
    t.comment(`${next} writes beside the FLUSH`);
    const again = await startServer(t, { size: '128MiB', set, folder: server.folder });
    const reader = await again.connect();
    const device = await readDevice(reader);
    const wrong: number[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const page = device.subarray(slot * PAGE, (slot + 1) * PAGE);
      const right = page.equals(pageOf(slot, 2)) || (promised[slot] === 1 && page.equals(pageOf(slot, 1)));
      if (!right) wrong.push(slot);
    }
    t.equal(wrong.length, 0, `slots that lost what was flushed: ${wrong.slice(0, 10)}`);
    await reader.disconnect();
    await again.stop();
  });
}
