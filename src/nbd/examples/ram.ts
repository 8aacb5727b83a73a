// A disk in memory: node ram.js ADDRESS... (paths of unix sockets, or ports)
import { serve } from 'node-nbd-server';

const addresses = process.argv.slice(2).map((address) => (/^\d+$/.test(address) ? Number(address) : address));
if (addresses.length === 0) {
  console.error('usage: node ram.js ADDRESS...');
  process.exit(2);
}
const disk = Buffer.alloc(64 * 2 ** 20);

const server = await serve(
  {
    name: 'ram',
    size: disk.length,
    read: (offset, into) => disk.copy(into, 0, offset, offset + into.length),
    write: (offset, from) => disk.set(from, offset),
    zero: (offset, length) => disk.fill(0, offset, offset + length),
    trim: (offset, length) => disk.fill(0, offset, offset + length),
  },
  addresses,
);
console.log('serving', server.addresses);
process.once('SIGTERM', () => server.close());
