// Where the device is that a soak drives, as an NBD URI says it.
import type { NbdAddress } from 'node-nbd-server';
import { EXIT, ExitError } from '../os/exit_error.ts';

export interface Target {
  readonly address: NbdAddress;
  readonly name: string;
}

export function parseTarget(uri: string): Target {
  const wrong = (why: string): ExitError =>
    new ExitError(
      EXIT.usage,
      `--uri ${uri}: ${why}, allowed: nbd://HOST:PORT/NAME and nbd+unix:///NAME?socket=/absolute/path`,
    );
  if (!URL.canParse(uri)) throw wrong('is not a URI');
  const { protocol, pathname, hostname, port, searchParams } = new URL(uri);
  const name = decoded(pathname.replace(/^\//, ''));
  if (name === undefined) throw wrong('has a name with a wrong escape');
  if (protocol === 'nbd+unix:') {
    const socketPath = searchParams.get('socket') ?? '';
    if (!socketPath.startsWith('/')) throw wrong('names no socket');
    return { name, address: { socketPath } };
  }
  if (protocol !== 'nbd:') throw wrong(`has the scheme ${protocol}`);
  const host = hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  return { name, address: { host, port: port === '' ? 10809 : Number(port) } };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
