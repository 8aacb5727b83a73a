/**
 * Sockets on their way to the lanes. A lane opens each that it is given before it looks at its clients again, so it is given
 * few at a time, and more when it has greeted those: whoever connects without end takes turns with those who are served. The
 * others wait here, as many as there may be handshakes; before the door opens, all do.
 */
import type { Socket } from 'node:net';
import { descriptorOf } from '../os/descriptor.ts';
import { errnoName } from '../os/errno.ts';
import { dup, keepAlive } from '../os/syscalls.ts';
import type { LaneHandle } from './threads.ts';

/** Sockets that a lane has and has not greeted yet. */
const UNGREETED_MAX = 2;

/**
 * When a TCP peer that is silent is asked whether it is still there, in seconds, and how often: one that vanished is given
 * up after 15 minutes. The kernel waits as long for an answer to data that it sent (tcp_retries2), and a guest that is
 * paused for a while must find its swap again.
 */
const KEEP_ALIVE = { idle: 300, interval: 60, count: 10 } as const;

interface Newcomer {
  readonly socket: Socket;
  /** The number of its listener, and its own. */
  readonly listener: number;
  readonly connection: number;
  /** It ends before a lane has it; `why`, unless it went by itself. */
  readonly gone: (why: string | null) => void;
}

export class HandOver {
  private readonly lanes: readonly LaneHandle[];
  private readonly onError: (line: string) => void;
  /** By the number of the connection, first come first served. */
  private readonly waiting = new Map<number, Newcomer>();
  private open = false;
  private last = 0;

  constructor(lanes: readonly LaneHandle[], onError: (line: string) => void) {
    this.lanes = lanes;
    this.onError = onError;
  }

  /** No two connections have the same. */
  newNumber(): number {
    return ++this.last;
  }

  give(newcomer: Newcomer): void {
    this.waiting.set(newcomer.connection, newcomer);
    this.next();
  }

  /** From here on lanes may have them. */
  admit(): void {
    this.open = true;
    this.next();
  }

  /** A lane has greeted one. */
  next(): void {
    if (!this.open) return;
    for (const [connection, newcomer] of this.waiting) {
      const free = this.lanes.filter((lane) => lane.ungreeted < UNGREETED_MAX);
      if (free.length === 0) return;
      this.waiting.delete(connection);
      this.pass(newcomer, idlest(free));
    }
  }

  /** Ends a connection that has chosen no export yet, here or at its lane. */
  drop(connection: number): void {
    const newcomer = this.waiting.get(connection);
    if (newcomer === undefined) {
      for (const lane of this.lanes) lane.send({ type: 'drop', connection });
      return;
    }
    this.waiting.delete(connection);
    newcomer.socket.destroy();
    newcomer.gone(null);
  }

  /** `passOn`: the lanes have those that wait, for a handshake before they hang up. Else they end here. */
  close(passOn: boolean): void {
    if (passOn && this.open) for (const newcomer of this.waiting.values()) this.pass(newcomer, idlest(this.lanes));
    else for (const { socket } of this.waiting.values()) socket.destroy();
    this.waiting.clear();
    this.open = false;
  }

  private pass({ socket, listener, connection, gone }: Newcomer, lane: LaneHandle): void {
    const fd = descriptorOf(socket);
    const copy = fd < 0 ? fd : dup(fd);
    const isTcp = socket.remoteFamily !== undefined;
    // Closing our descriptor does not end the connection: the copy is the same open socket.
    socket.destroy();
    if (copy < 0) {
      // Without a descriptor of ours, the client has gone already.
      gone(fd < 0 ? null : `no descriptor left (${errnoName(copy)})`);
      return;
    }
    const failed = isTcp ? keepAlive(copy, KEEP_ALIVE) : 0;
    if (failed < 0) this.onError(`no keep-alive for a TCP connection (${errnoName(failed)})`);
    lane.connections++;
    lane.ungreeted++;
    lane.send({ type: 'socket', fd: copy, listener, connection });
  }
}

function idlest(lanes: readonly LaneHandle[]): LaneHandle {
  return lanes.reduce((best, other) => (other.connections < best.connections ? other : best));
}
