// The descriptor under what Node has opened.
import type { Server, Socket } from 'node:net';

/** Of a socket, or of a server that listens; -1 where it is closed. Node keeps it behind an undocumented property that is stable since version 0.x. */
export function descriptorOf(of: Socket | Server): number {
  return (of as unknown as { _handle: { fd: number } | null })._handle?.fd ?? -1;
}
