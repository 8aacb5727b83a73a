/** ByteDevices for tests, and servers of them that end with their test. */
import { type Address, type ByteDevice, NbdClient, type NbdServer, type ServerOptions, serve } from 'node-nbd-server';
import type { Test } from 'tap';

export interface Ram extends ByteDevice {
  readonly name: string;
  readonly bytes: Buffer;
  write: (offset: number, from: Uint8Array) => unknown;
}

/** Bytes in memory; whatever is given replaces a method, or adds one. */
export function ram<D extends Partial<ByteDevice>>(o: D): Ram & D {
  const bytes = Buffer.alloc(o.size ?? 1024 * 1024);
  return {
    name: 'ram',
    size: bytes.length,
    bytes,
    read: (offset: number, into: Uint8Array) => into.set(bytes.subarray(offset, offset + into.length)),
    write: (offset: number, from: Uint8Array) => bytes.set(from, offset),
    ...o,
  };
}

export interface Running {
  readonly server: NbdServer;
  connect(name?: string): Promise<NbdClient>;
}

export async function running(
  t: Test,
  devices: ByteDevice | readonly ByteDevice[],
  options: ServerOptions = {},
  where: Address | readonly Address[] = 0,
): Promise<Running> {
  const server = await serve(devices, where, options);
  t.teardown(() => server.close(0));
  return {
    server,
    connect: (name = '') => NbdClient.connect({ port: server.port, export: name, maxInFlight: 256 }),
  };
}

/** A promise that somebody else settles. */
export interface Held {
  readonly promise: Promise<void>;
  release(): void;
}

export function held(): Held {
  let release = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { promise, release };
}
