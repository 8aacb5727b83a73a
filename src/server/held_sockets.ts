/** The listening sockets of a supervisor: those that it inherited, or those of its config. It accepts nobody. */
import { closeSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Config } from '../config/schema.ts';
import { EXIT, ExitError, errorText, named } from '../os/exit_error.ts';
import { checkInherited, inheritedSockets, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { type HeldSocket, holdUnix, takeDescriptor } from '../os/unix_socket.ts';
import { BACKLOG } from './listeners.ts';

/** Whoever calls it releases them, also where it throws: then there are none. */
export async function holdSockets({ listen }: Config, warn: (line: string) => void): Promise<HeldSocket[]> {
  const inherited = inheritedSockets(process.env);
  if (inherited > 0) return Array.from({ length: inherited }, (_, i) => inheritedSocket(LISTEN_FDS_START + i));
  const held: HeldSocket[] = [];
  try {
    const { unix, unixMode, unixGroup, tcp } = listen;
    if (unix !== null) {
      const options = { backlog: BACKLOG, mode: Number.parseInt(unixMode, 8), group: unixGroup, warn };
      held.push(await named('listen.unix', holdUnix(unix, options)));
    }
    if (tcp !== null) held.push(await holdTcp(tcp));
    return held;
  } catch (error) {
    for (const socket of held) socket.release();
    throw error;
  }
}

function inheritedSocket(fd: number): HeldSocket {
  checkInherited(fd);
  // They are those of whoever handed them over.
  return { fd, release: () => undefined };
}

function holdTcp({ host, port }: NonNullable<Config['listen']['tcp']>): Promise<HeldSocket> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `listen.tcp: ${host}:${port}: can't listen: ${errorText(error)}`;
      reject(new ExitError(EXIT.usage, message, { cause: error }));
    });
    server.listen({ host, port, backlog: BACKLOG }, () => {
      // In the turn in which it was bound, so that the loop has had no time to accept anybody.
      const fd = takeDescriptor(server);
      server.close();
      resolve({ fd, release: () => closeSync(fd) });
    });
  });
}
