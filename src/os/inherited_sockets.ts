/** The sockets that a service manager hands over by LISTEN_PID and LISTEN_FDS. They are served as they are given. */
import { EXIT, ExitError } from './exit_error.ts';
import { isListening } from './syscalls.ts';
import { boundPath } from './unix_address.ts';

/** Set by a supervisor of ours, whose socket is the descriptor behind those that listen (server/supervision.ts). */
export const SUPERVISOR_VARIABLE = 'ZSWAPD_SUPERVISOR';
export function isSupervised(environment: NodeJS.ProcessEnv): boolean {
  return environment[SUPERVISOR_VARIABLE] !== undefined;
}

/** First descriptor of the LISTEN_FDS protocol of systemd. */
export const LISTEN_FDS_START = 3;
const LISTEN_FDS_MAX = 64;
/** A server listens on what it inherited, or on the two of its config. */
export const LISTENERS_MAX = LISTEN_FDS_MAX;

/** How many sockets were inherited for this process. */
export function inheritedSockets(environment: NodeJS.ProcessEnv): number {
  const { LISTEN_FDS } = environment;
  if (LISTEN_FDS === undefined) return 0;
  if (foreignSockets(environment) !== null) return 0;
  const count = /^\d+$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Infinity;
  if (count <= LISTEN_FDS_MAX) return count;
  throw new ExitError(
    EXIT.usage,
    `LISTEN_FDS: ${LISTEN_FDS} is not a number of sockets, allowed: 0 to ${LISTEN_FDS_MAX}`,
  );
}

/** Throws with exit code 2 for a descriptor that nobody can connect to. */
export function checkInherited(fd: number): void {
  if (isListening(fd)) return;
  throw new ExitError(
    EXIT.usage,
    `LISTEN_FDS socket ${fd}: is not a stream socket that listens, allowed: TCP, or a unix socket (ListenStream=)`,
  );
}

/**
 * What is said of sockets that were handed to another process, or null: the variables reach the children of the process
 * that they were meant for, and then the sockets are not ours (sd_listen_fds(3)). Those of the config are opened.
 */
export function foreignSockets(environment: NodeJS.ProcessEnv): string | null {
  const { LISTEN_FDS, LISTEN_PID } = environment;
  if (LISTEN_FDS === undefined || LISTEN_PID === undefined || Number(LISTEN_PID) === process.pid) return null;
  return `LISTEN_PID is ${LISTEN_PID} and this process ${process.pid}: the sockets of LISTEN_FDS are not for us`;
}

/** The path that an inherited unix socket is bound to. The socket is asked: what /proc lists may be another network namespace. */
export function inheritedPath(fd: number): string {
  const path = boundPath(fd);
  if (path?.startsWith('/') === true) return path;
  throw new ExitError(
    EXIT.usage,
    `LISTEN_FDS socket ${fd}: has no absolute path, allowed: TCP, or a unix socket with one`,
  );
}
