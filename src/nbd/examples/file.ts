// A file, or a block device of Linux: node file.js FILE SOCKET
import { open, readFile } from 'node:fs/promises';
import { serve } from 'node-nbd-server';

const [path, socket] = process.argv.slice(2);
if (socket === undefined) {
  console.error('usage: node file.js FILE SOCKET');
  process.exit(2);
}
const file = await open(path, 'r+');
const size = await sizeOf();
if (size === 0) throw new Error(`${path} has no bytes to serve`);

const server = await serve(
  {
    name: 'file',
    size,
    read: async (offset, into) => {
      // The system may give less than it is asked for; it gives nothing behind the end, where a file was cut meanwhile.
      for (let at = 0; at < into.length; ) {
        const { bytesRead } = await file.read(into, at, into.length - at, offset + at);
        if (bytesRead === 0) throw new Error(`${path} ends at ${offset + at}`);
        at += bytesRead;
      }
    },
    write: async (offset, from) => {
      // The system may take less than it is given, at a limit or when its disk is nearly full.
      for (let at = 0; at < from.length; )
        at += (await file.write(from, at, from.length - at, offset + at)).bytesWritten;
    },
    flush: () => file.datasync(),
  },
  socket,
);
console.log('serving', server.addresses);
process.once('SIGTERM', () => server.close().then(() => file.close()));

async function sizeOf(): Promise<number> {
  const stat = await file.stat();
  if (!stat.isBlockDevice()) return stat.size;
  // Of a block device stat tells nothing, but its number, by which the kernel tells how many sectors it has.
  const major = (stat.rdev >>> 8) & 0xfff;
  const minor = (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00);
  return 512 * Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8'));
}
