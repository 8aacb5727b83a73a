// The servers of `./scripts/bench` are killed after each row: the next one starts in the same folder as if there had been none.
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { NbdClient } from 'node-nbd-server';
import t from 'tap';
import { startOurs } from '#src/scripts/benchmark/ours.js';
import { startScaleServer } from '#src/scripts/benchmark/scale/server.js';
import type { StartContext } from '#src/scripts/benchmark/server.js';
import { tempFolder } from '../support/tmp.ts';

/** Of the compiled test, dist/test/scripts. */
const root = resolve(import.meta.dirname, '../../..');

function context(folder: string): StartContext {
  return { root, folder, bytes: 2 ** 20 };
}

/** Notes that some server has left in the state folder of the checkout, for images of ours. */
function notes(folder: string): string[] {
  const state = resolve(root, 'var');
  try {
    return readdirSync(state).filter((name) => name.includes(encodeURIComponent(folder)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

async function write(uri: string): Promise<void> {
  const { pathname, searchParams } = new URL(uri);
  const client = await NbdClient.connect({ socketPath: searchParams.get('socket')!, export: pathname.slice(1) });
  await client.write(0, readFileSync(process.execPath).subarray(0, 4096));
  await client.disconnect();
}

t.test('a row of the table', async (t) => {
  const folder = tempFolder(t);
  const command = [process.execPath, resolve(root, 'dist/main.js'), 'serve'] as const;
  for (let row = 0; row < 2; row++) {
    const server = await startOurs(context(folder), { command, poolBytes: 2 ** 22 });
    await write(server.uri);
    t.equal((await server.holding()).storedPages, 1);
    await server.stop();
  }
  t.same(notes(folder), []);
});

t.test('a row of --scale', async (t) => {
  const folder = tempFolder(t);
  for (let row = 0; row < 2; row++) {
    const server = await startScaleServer(context(folder), { exportBytes: 2 ** 42, poolBytes: 2 ** 22 });
    for (const uri of server.uris) await write(uri);
    t.equal(await server.zswapped(null), 2 * 4096, 'no agent has said anything');
    await server.stop();
  }
  t.same(notes(folder), []);
});
