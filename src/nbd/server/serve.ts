/** The short way to a server. */
import type { ByteDevice } from './byte_device.ts';
import { type Address, NbdServer, type ServerOptions } from './server.ts';

/**
 * Serves a device, or several, on an address, or on several; without one, clients come by `accept` and `listen`. If one of
 * the addresses can't be had, none is kept. (A `Device` goes to `NbdServer`: together their types could not tell what the
 * methods of a literal are.)
 */
export async function serve(
  devices: ByteDevice | readonly ByteDevice[],
  where: Address | readonly Address[] = [],
  options: ServerOptions = {},
): Promise<NbdServer> {
  const server = new NbdServer({ ...options, devices: listOf(devices) });
  try {
    for (const address of listOf(where)) await server.listen(address);
  } catch (error) {
    await server.close(0);
    throw error;
  }
  return server;
}

function listOf<T>(one: T | readonly T[]): readonly T[] {
  return Array.isArray(one) ? one : [one as T];
}
