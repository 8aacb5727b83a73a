// QEMU's block layer as the client: patterns, discards, zero writes, compare and convert.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { missing } from '../../support/requires.ts';
import { tempFolder } from '../../support/tmp.ts';
import { startServer } from '../../support/zswapd.ts';
import { succeed, tool, writeMixedFile } from './tools.ts';

const skip = missing('qemu-io', 'qemu-img');
const MIB = 1 << 20;

/** Runs qemu-io commands on one connection; a pattern that does not match is a failure although it exits with 0. */
async function qemuIo(t: Test, uri: string, ...commands: string[]): Promise<string> {
  const out = await succeed(t, 'qemu-io', ['-f', 'raw', '-d', 'unmap', ...commands.flatMap((c) => ['-c', c]), uri]);
  t.notMatch(out, /failed|error/i);
  return out;
}

for (const lanes of [0, 1, 2]) {
  t.test(`qemu-io with ${lanes} lanes`, { skip }, async (t) => {
    const server = await startServer(t, { set: [`lanes=${lanes}`, 'pool.max=1MiB'] });
    await qemuIo(
      t,
      server.unixUri,
      'read -P 0 0 64M',
      'write -P 0xab 0 1M',
      'write -P 0xcd 1M 8M',
      'read -P 0xab 0 1M',
      'read -P 0xcd 1M 8M',
      // Not on a sector boundary of ours, so each end is a read, a merge and a write.
      'write -P 0x11 512 1024',
      'write -P 0x22 6144 4096',
      'read -P 0xab 0 512',
      'read -P 0x11 512 1024',
      'read -P 0xab 1536 4608',
      'read -P 0x22 6144 4096',
      'discard 2M 2M',
      'read -P 0 2M 2M',
      'read -P 0xcd 4M 5M',
      'write -z 4100K 1M',
      'write -z -u 6M 1M',
      'write -z 8193K 512',
      'read -P 0xcd 4M 4K',
      'read -P 0 4100K 1M',
      'read -P 0 6M 1M',
      'read -P 0 8193K 512',
      'read -P 0xcd 8389120 512',
      'aio_write -P 0x33 16M 4M',
      'aio_write -P 0x44 20M 4M',
      'aio_flush',
      'read -P 0x33 16M 4M',
      'read -P 0x44 20M 4M',
    );
    t.match(await server.stop(), { code: 0 });
    // The image is what the client read.
    await qemuIo(t, server.image, 'read -P 0x33 16M 4M', 'read -P 0 6M 1M', 'read -P 0x22 6144 4096');
  });
}

t.test('qemu-img convert and compare', { skip }, async (t) => {
  const source = join(tempFolder(t), 'source');
  writeMixedFile(source, 64 * MIB);
  const server = await startServer(t, { set: ['pool.max=4MiB'] });
  await succeed(t, 'qemu-img', ['convert', '-n', '-W', '-m', '8', '-f', 'raw', '-O', 'raw', source, server.unixUri]);
  await succeed(t, 'qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, server.unixUri]);
  await succeed(t, 'qemu-io', ['-f', 'raw', '-c', 'write -P 1 33M 512', server.unixUri]);
  const { code } = await tool(t, 'qemu-img', ['compare', '-f', 'raw', '-F', 'raw', source, server.unixUri]);
  t.equal(code, 1, 'a changed sector is found');
  t.match(await server.stop(), { code: 0 });
});

t.test('qemu-img map tells data from holes', { skip }, async (t) => {
  const server = await startServer(t);
  await qemuIo(t, server.unixUri, 'write -P 5 1M 1M', 'discard 1280K 256K');
  const map = JSON.parse(await succeed(t, 'qemu-img', ['map', '--output=json', '-f', 'raw', server.unixUri]));
  t.same(
    map
      .filter((one: { data: boolean }) => one.data)
      .map((one: { start: number; length: number }) => [one.start, one.length]),
    [
      [MIB, 256 * 1024],
      [MIB + 512 * 1024, 512 * 1024],
    ],
  );
});
