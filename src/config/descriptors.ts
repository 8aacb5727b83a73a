// How many descriptors a server may have open at once: what its process has to be allowed.
import type { Config } from './schema.ts';

/** Node itself, the log, libuv's pool, and the modules that the main thread has open while it loads. */
const PROCESS = 160;
/** A thread's event loop, and the modules that it has open while it loads. */
const PER_THREAD = 32;
/** Of a listener: connections sent away in their handshake that have not ended yet. A lane that comes to nothing gets no more. */
export const DROPPED_MAX = 16;
/** The sockets of the control plane. */
const CONTROL = 17;

/** Connections of agents at a time, on each of their listeners (control/agent_connections.ts). */
export const AGENT_CONNECTIONS = { strangers: 16, perExport: 2 } as const;

function agentConnections({ exports }: Pick<Config, 'exports'>): number {
  const { strangers, perExport } = AGENT_CONNECTIONS;
  return strangers + perExport * exports.filter(({ attribution }) => attribution === 'agent').length;
}

export function descriptorsNeeded(config: Config, listeners: number): number {
  // Inline mode has no threads; one set of descriptors of the images is then as many as for a lane.
  const threads = config.lanes + 1;
  const images = config.exports.length * (threads + 2);
  // Those of exports, those in their handshake, those of them on their way out, and one that is refused.
  const connections = listeners * (2 * config.listen.maxConnections + DROPPED_MAX + 1);
  const { unix, tcp } = config.agents;
  // Each listener closes what is beyond, and has one open for that.
  const agents = unix === null && tcp === null ? 0 : 2 * (agentConnections(config) + 2);
  return PROCESS + PER_THREAD * threads + images + connections + CONTROL + agents;
}
