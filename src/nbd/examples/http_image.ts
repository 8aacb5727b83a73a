// An image that lies behind HTTP, read-only, of which only what is read is fetched: node http_image.js URL SOCKET
import { serve } from 'node-nbd-server';

const [url, socket] = process.argv.slice(2);
if (socket === undefined) {
  console.error('usage: node http_image.js URL SOCKET');
  process.exit(2);
}
const head = await fetch(url, { method: 'HEAD', headers: { 'accept-encoding': 'identity' } });
const length = head.headers.get('content-length');
if (!head.ok || head.headers.get('accept-ranges') !== 'bytes' || length === null) {
  throw new Error(`${url}: no parts to be had, or no length`);
}

const server = await serve(
  {
    name: 'image',
    size: Number(length),
    blockSize: 65_536,
    read: async (offset, into, { signal }) => {
      const range = `bytes=${offset}-${offset + into.length - 1}`;
      const response = await fetch(url, { headers: { range }, signal });
      const part = new Uint8Array(await response.arrayBuffer());
      if (response.status !== 206 || part.length !== into.length) throw new Error(`${url}: not the part asked for`);
      into.set(part);
    },
  },
  socket,
);
console.log('serving', server.addresses);
process.once('SIGTERM', () => server.close());
