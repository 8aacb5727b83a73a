/**
 * Whose place a newcomer gets when all are taken: that of the connection which has stood still for longest, if that was
 * `afterMs`. One stands still if it has unfinished requests, and neither its device nor its client has done anything since it
 * was first looked at; that happens when somebody finds no place. One without requests is idle, and keeps its place.
 *
 * That covers what nobody can notice: a client that has said goodbye or is gone behind what its kernel still holds, and whose
 * device does not answer.
 */
import type { Connection } from './connection.ts';

interface Look {
  readonly progress: string;
  readonly at: number;
}

export class Standstill {
  readonly #afterMs: number;
  readonly #looks = new WeakMap<Connection, Look>();

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** Looks at all connections, and tells which one has stood still for longest, and for long enough. */
  find(connections: Iterable<Connection>): Connection | null {
    const now = performance.now();
    let found: Connection | null = null;
    let since = now;
    for (const connection of connections) {
      const { progress } = connection;
      const look = this.#looks.get(connection);
      if (connection.idle) this.#looks.delete(connection);
      else if (look?.progress !== progress) this.#looks.set(connection, { progress, at: now });
      else if (look.at <= now - this.#afterMs && (found === null || look.at < since)) {
        found = connection;
        since = look.at;
      }
    }
    return found;
  }
}
