// What nbdkit can do of our faults: its filters take what they are told, and each does what stands in the table.
import { join } from 'node:path';
import t from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { nbdkitArguments, type Peer, peerOf } from '#src/scripts/peer/nbdkit.js';
import { faultsOf, planOfOne } from '#src/scripts/peer/plan.js';
import { Child } from '#src/scripts/support/child.js';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';

const faults = faultsOf(join(REPOSITORY, 'config/faults/standard.jsonc'));
const peers = new Map(faults.map((fault) => [fault.id, peerOf(fault)]));

t.test('nbdkit can do what fails, is late or stands still, and nothing of what lies', async (t) => {
  const titles = [...peers].flatMap(([id, peer]) => (peer === null ? [] : [`${id}: ${peer.title}`]));
  t.same(titles, [
    'image-write-eio: error: WRITE EIO, 5%',
    'image-write-full: error: WRITE ENOSPC, 5%',
    'image-write-hang: pause: 2000 ms, once',
    'image-read-eio: error: READ EIO, 2%',
    'image-read-hang: pause: 2000 ms, once',
    'image-write-slow: delay: each WRITE, 15 ms',
    'image-read-slow: delay: each READ, 15 ms',
    'image-write-eio-on: error: WRITE EIO, 0.1%',
    'reply-delay: delay: each READ, 10 ms',
    'reply-error: error: any EIO, 0.5%',
    'reply-delay-on: delay: each READ, 10 ms',
    'main-stall: pause: 300 ms, once',
    'lane-stall: pause: 200 ms, once',
  ]);
});

t.test('a plan of one fault begins at once, and lasts as long as the run unless it is shorter', async (t) => {
  const of = (id: string, ms: number): unknown => JSON.parse(planOfOne(faults.find((one) => one.id === id)!, ms));
  t.same(of('image-read-eio', 8000), {
    seed: 1,
    faults: [
      {
        ...{ id: 'image-read-eio', site: 'image.read', action: 'EIO', when: { probability: 2 } },
        ...{ for: '5s', verbose: 0 },
      },
    ],
  });
  t.notMatch(of('image-read-eio', 2000), { faults: [{ for: '5s' }] });
  t.match(of('image-read-hang', 1000), { faults: [{ for: '2s' }] }, 'or nothing would be answered until the end');
});

/** While its faults are there a WRITE is tried so often. */
const TRIES = 40;

async function tryPeer(peer: Peer, folder: string): Promise<{ failed: number; injected: number }> {
  const server = new Child('nbdkit', nbdkitArguments(peer, folder));
  await server.untilFile(join(folder, 'pid'));
  await peer.begin(folder);
  const io = Array.from({ length: TRIES }, () => ['-c', 'write -q 0 4096']).flat();
  const ended = await runCommand('qemu-io', ['-f', 'raw', ...io, `nbd+unix:///?socket=${join(folder, 'n')}`]);
  await peer.end(folder);
  await server.stop();
  const failed = `${ended.stdout}${ended.stderr}`.match(/write failed/g)?.length ?? 0;
  return { failed, injected: peer.injected(folder, server.stderr) };
}

t.test('what its filters do is counted', async (t) => {
  const half = peerOf({ ...faults[0], when: { probability: 50 } })!;
  const { failed, injected } = await tryPeer(half, tempFolder(t));
  t.ok(failed > 0 && failed < TRIES, `${failed} of ${TRIES}`);
  t.equal(injected, failed);
  const slow = peerOf({ ...faults[0], action: 'latency', with: { latency: '1ms' } })!;
  t.same(await tryPeer(slow, tempFolder(t)), { failed: 0, injected: TRIES });
  t.same(await tryPeer(peers.get('lane-stall')!, tempFolder(t)), { failed: 0, injected: 1 });
});
