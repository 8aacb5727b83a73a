/**
 * The connections of one listener for agents. Who has not said a token yet has a place among few; an agent has its places among
 * those of its own export. So neither strangers nor the agent of one guest keep that of another out, nor does one listener the other.
 *
 * Where the places are taken, the newcomer has that of the connection which has said nothing for longest: an agent that connects
 * again finds its own earlier one there, which nobody has closed, and strangers who hold on make room for each other.
 */
import type { Socket } from 'node:net';

/** Connections at a time: of those who have not said a token, and of each export. */
export interface ConnectionShares {
  readonly strangers: number;
  readonly perExport: number;
}

const STRANGERS = '';

export class AgentConnections {
  private readonly shares: ConnectionShares;
  /** By export, or STRANGERS, which is the name of none that has an agent: its connections, who spoke last at the end. */
  private readonly open = new Map<string, Set<Socket>>();
  private readonly groups = new WeakMap<Socket, string>();

  constructor(shares: ConnectionShares) {
    this.shares = shares;
  }

  add(socket: Socket): void {
    socket.once('close', () => this.leave(socket));
    this.join(socket, STRANGERS);
  }

  /** It has said the token of export `name`. */
  know(socket: Socket, name: string): void {
    this.leave(socket);
    this.join(socket, `export ${name}`);
  }

  private join(socket: Socket, group: string): void {
    const members = this.open.get(group) ?? new Set();
    this.open.set(group, members);
    members.add(socket);
    this.groups.set(socket, group);
    const most = group === STRANGERS ? this.shares.strangers : this.shares.perExport;
    if (members.size <= most) return;
    const [silent] = members;
    this.leave(silent);
    silent.destroy();
  }

  private leave(socket: Socket): void {
    const group = this.groups.get(socket);
    if (group === undefined) return;
    this.groups.delete(socket);
    const members = this.open.get(group);
    members?.delete(socket);
    if (members?.size === 0) this.open.delete(group);
  }
}
