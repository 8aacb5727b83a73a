/**
 * The server's end of its supervisor (supervise.ts): what it was told at its start, and a stream socket on which it says what
 * it would tell a service manager. That this socket ends is how it learns that its supervisor has gone: then it stops cleanly,
 * because nobody would start it again, nor close the sockets that clients wait at.
 */
import { Socket } from 'node:net';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { SUPERVISOR_VARIABLE } from '../os/inherited_sockets.ts';

/** What a supervisor has seen so far; stats shows it. */
interface History {
  /** Process id of the supervisor. */
  readonly pid: number;
  /** Servers that were started again after an unasked end, and for an upgrade. */
  readonly restarts: number;
  readonly upgrades: number;
  /** How the server before ended, and when; null for the first. */
  readonly lastEnd: string | null;
  readonly lastEndAt: string | null;
}

/** What stands in the variable. */
export interface Supervised extends History {
  /** Descriptor of the socket. */
  readonly fd: number;
}

export interface Supervision {
  readonly history: History;
  /** A message, as sd_notify has them. */
  tell(message: string): void;
}

/** Behind each message, which has no empty line in it. */
export const MESSAGE_END = '\n\n';

/** null for a server that is nobody's. `gone`: its supervisor has ended. */
export function supervision(environment: NodeJS.ProcessEnv, gone: () => void): Supervision | null {
  const text = environment[SUPERVISOR_VARIABLE];
  if (text === undefined) return null;
  const { fd, ...history } = parse(text);
  const socket = new Socket({ fd, readable: true, writable: true });
  socket.on('error', () => undefined);
  socket.once('close', gone);
  socket.resume().unref();
  return { history, tell: (message) => void socket.write(`${message}${MESSAGE_END}`) };
}

function parse(text: string): Supervised {
  const found = JSON.parse(text) as Supervised;
  if (found.pid === process.ppid) return found;
  throw new ExitError(
    EXIT.failed,
    `${SUPERVISOR_VARIABLE}: process ${found.pid} is not the parent of this one: it has ended, or the variable was inherited`,
  );
}
