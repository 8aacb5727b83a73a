/** The sockets that a service manager hands over by LISTEN_PID and LISTEN_FDS. They are served as they are given. */
import { EXIT, ExitError } from './exit_error.ts';

/** First descriptor of the LISTEN_FDS protocol of systemd. */
export const LISTEN_FDS_START = 3;
const LISTEN_FDS_MAX = 64;

/** How many sockets were inherited for this process. */
export function inheritedSockets(environment: NodeJS.ProcessEnv): number {
  if (environment.LISTEN_FDS === undefined) return 0;
  if (foreignSockets(environment) !== null) return 0;
  const count = Number(environment.LISTEN_FDS);
  if (!Number.isInteger(count) || count < 1 || count > LISTEN_FDS_MAX) {
    throw new ExitError(
      EXIT.usage,
      `LISTEN_FDS: ${environment.LISTEN_FDS} is not a number of sockets, allowed: 1 to ${LISTEN_FDS_MAX}`,
    );
  }
  return count;
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
