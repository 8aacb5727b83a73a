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
