/** What the kernel waits for on a TCP connection of this machine. */
import { readFileSync } from 'node:fs';

export const KEEP_ALIVE_PENDING = '02';

/** Timer of the connection from `local` to `remote` in /proc/net/tcp: which one runs, and in how many 1/100 s it fires. */
export function timerOf(local: number, remote: number): { kind: string; ticks: number } {
  const end = (port: number): string => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
    const [, from, to, , , timer] = line.trim().split(/\s+/);
    if (from !== end(local) || to !== end(remote)) continue;
    const [kind, when] = timer.split(':');
    return { kind, ticks: Number.parseInt(when, 16) };
  }
  throw new Error('no such connection');
}
