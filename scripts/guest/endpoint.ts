// Where an NBD export is, in the three forms that its users want: a URI, QEMU's block options, a port on loopback.
import net from 'node:net';
import { UsageError } from './options.ts';

export interface Endpoint {
  readonly name: string;
  readonly address: { readonly path: string } | { readonly host: string; readonly port: number };
}

export function parseUri(uri: string): Endpoint {
  const bad = (why: string): UsageError =>
    new UsageError(`${uri}: ${why}; allowed are nbd://HOST:PORT/NAME and nbd+unix:///NAME?socket=PATH`);
  if (!URL.canParse(uri)) throw bad('not a URI');
  const { protocol, pathname, hostname, port, searchParams } = new URL(uri);
  const name = decodeURIComponent(pathname.replace(/^\//, ''));
  if (protocol === 'nbd+unix:') {
    const path = searchParams.get('socket');
    if (path === null || path === '') throw bad('no socket');
    return { name, address: { path } };
  }
  if (protocol !== 'nbd:') throw bad(`scheme ${protocol}`);
  return { name, address: { host: hostname.replace(/^\[|\]$/g, '') || 'localhost', port: Number(port || 10809) } };
}

export function toUri({ name, address }: Endpoint): string {
  const path = encodeURIComponent(name);
  if ('path' in address) return `nbd+unix:///${path}?socket=${encodeURIComponent(address.path)}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}/${path}`;
}

export function toBlockdev({ name, address }: Endpoint): Record<string, unknown> {
  const server =
    'path' in address
      ? { type: 'unix', path: address.path }
      : { type: 'inet', host: address.host, port: String(address.port) };
  return { driver: 'nbd', server, export: name };
}

/**
 * A port on 127.0.0.1 behind which the endpoint is: user networking shows the guest only that address. An endpoint that
 * is not there already gets a relay, which passes bytes and the end of a connection on, and nothing else.
 */
export async function loopbackPort({ address }: Endpoint): Promise<{ port: number; close: () => void }> {
  if ('port' in address && ['127.0.0.1', 'localhost'].includes(address.host)) {
    return { port: address.port, close: () => {} };
  }
  const open = new Set<net.Socket>();
  const relay = net.createServer({ noDelay: true }, (guest) => {
    const server = net.connect(address);
    for (const [from, to] of [
      [guest, server],
      [server, guest],
    ]) {
      open.add(from);
      from.pipe(to);
      // An error is followed by 'close', and the other side learns of the end by its own socket's end.
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => relay.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    port: (relay.address() as net.AddressInfo).port,
    close: () => {
      relay.close();
      for (const socket of open) socket.destroy();
    },
  };
}
