/** The agents of all exports that have one, and the listener that hears them. */
import { AGENT_CONNECTIONS } from '../config/descriptors.ts';
import type { Config } from '../config/schema.ts';
import { readToken } from '../config/token.ts';
import { type AgentListener, startAgentListener } from '../control/agent_listener.ts';
import { ExitError } from '../os/exit_error.ts';
import { GuestRows } from '../pool/guest_rows.ts';
import { PAGE_SIZE } from '../pool/limits.ts';
import type { MemcgTree } from '../pool/memcg_tree.ts';
import type { Shared } from '../pool/shared.ts';
import type { BatchResult, ReportBatch } from '../zswap/reports.ts';
import type { FromShrinker, ToShrinker } from './messages.ts';
import { ServedAgent } from './served_agent.ts';

type ReportMessage = Extract<ToShrinker, { type: 'report' }>;

export class ServedAgents {
  private readonly config: Config;
  private readonly send: (message: ReportMessage) => void;
  private readonly warn: (line: string) => void;
  /** By export; null for one without an agent. */
  private readonly agents: readonly (ServedAgent | null)[];
  /** By export: who waits for the answer of its batch. */
  private readonly waiting = new Map<number, (result: BatchResult) => void>();
  private listener: AgentListener | null = null;

  /** `send`: to the shrinker's thread, whose answers have to come to answered(). */
  constructor(
    shared: Shared,
    config: Config,
    tree: MemcgTree,
    send: (message: ReportMessage) => void,
    warn: (line: string) => void,
  ) {
    this.config = config;
    this.send = send;
    this.warn = warn;
    const { owners } = shared.memcgs;
    const withAgents = config.exports.flatMap(({ attribution }, x) => (attribution === 'agent' ? [x] : []));
    const rows = new GuestRows(tree, withAgents);
    this.agents = config.exports.map(({ name, attribution, size, memcg }, x) => {
      const report = (batch: ReportBatch): Promise<BatchResult> => this.ask(batch);
      const common = { tree, rows, owners, base: memcg, send: report, name, warn };
      return attribution === 'agent' ? new ServedAgent({ ...common, x, slots: size / PAGE_SIZE }) : null;
    });
  }

  /** Begins to listen, if there is an agent to hear; throws ExitError. */
  async listen(onError: (error: unknown) => void): Promise<void> {
    const { agents: where, exports } = this.config;
    const targets = exports.flatMap(({ name, size, agentToken }, x) => {
      const agent = this.agents[x];
      if (agent === null || agentToken === null) return [];
      const token = tokenOf(x, agentToken);
      return [
        {
          ...{ name, token, slots: size / PAGE_SIZE, state: () => agent.state(), refuse: () => agent.refuse() },
          apply: agent.apply.bind(agent),
        },
      ];
    });
    if (targets.length === 0) return;
    const connections = AGENT_CONNECTIONS;
    const warn = (line: string): void => this.warn(`agents.unix: ${line}`);
    this.listener = await startAgentListener({ ...where, connections, targets, onError, warn });
  }

  async close(): Promise<void> {
    await this.listener?.close();
  }

  /** Where agents are heard, for stats; nulls where nowhere. */
  get where(): AgentListener['where'] {
    return this.listener?.where ?? { unix: null, tcp: null };
  }

  /** Of export `x` for stats, or null. */
  report(x: number): object | null {
    return this.agents[x]?.report() ?? null;
  }

  answered({ x, result }: Extract<FromShrinker, { type: 'applied' }>): void {
    const done = this.waiting.get(x);
    this.waiting.delete(x);
    done?.(result);
  }

  private ask(batch: ReportBatch): Promise<BatchResult> {
    return new Promise((resolve) => {
      this.waiting.set(batch.x, resolve);
      this.send({ type: 'report', batch });
    });
  }
}

function tokenOf(x: number, path: string): Buffer {
  try {
    return readToken(path);
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    throw new ExitError(error.exitCode, `exports[${x}].agentToken: ${error.message}`, { cause: error });
  }
}
