// A file: node file.js FILE SOCKET
import { open } from 'node:fs/promises';
import { serve } from 'node-nbd-server';

const [path, socket] = process.argv.slice(2);
const file = await open(path, 'r+');
const { size } = await file.stat();

const server = await serve(
  {
    name: 'file',
    size,
    read: (offset, into) => file.read(into, 0, into.length, offset),
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
