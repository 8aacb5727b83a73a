/** The served process of a row: two exports with an agent's listener, and what it says of itself on its control socket. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fetchControl } from '#src/cli/ask_control.js';
import { ctl } from '#src/cli/ctl.js';
import { servedProgram } from '../../support/served.ts';
import { READY_SECONDS, startZswapd } from '../../support/zswapd.ts';
import { residentBytes } from '../procfs.ts';
import type { StartContext } from '../server.ts';
import { ScaleAgent } from './agent.ts';
import { EXPORTS } from './variants.ts';

/** The memcg of both exports, which is the root of the guests behind them. */
const MEMCG = 'bench';

export interface ScaleServer {
  /** One for each export. */
  readonly uris: readonly string[];
  /** Reached the server's listener, and said nothing yet. */
  readonly agents: readonly ScaleAgent[];
  residentBytes(): number;
  stats(): Promise<unknown>;
  /** Bytes of the pages, uncompressed, that a group has, by its path from the guest's root; those of no group: null. */
  zswapped(group: string | null): Promise<number>;
  stop(): Promise<void>;
}

export async function startScaleServer(
  context: StartContext,
  sizes: { readonly exportBytes: number; readonly poolBytes: number },
): Promise<ScaleServer> {
  const { root, folder } = context;
  const names = Array.from({ length: EXPORTS }, (_, x) => `swap${x}`);
  const image = (name: string): string => join(folder, `${name}.img`);
  const token = (name: string): string => join(folder, `${name}.token`);
  const remove = (): void => {
    for (const name of names) {
      for (const file of [image(name), `${image(name)}.zswapd`, token(name)]) rmSync(file, { force: true });
    }
  };
  remove();
  const listener = join(folder, 'agents.sock');
  const { child, controlPath, uris } = startZswapd({
    command: [process.execPath, servedProgram(root), 'serve'],
    sockets: folder,
    exports: names.map((name) => ({
      ...{ name, size: sizes.exportBytes, image: image(name) },
      ...{ memcg: MEMCG, attribution: 'agent', agentToken: token(name) },
    })),
    // As for the rows of the table (ours.ts).
    env: { STATE_DIRECTORY: folder },
    set: [`pool.max=${sizes.poolBytes}`, `agents.unix=${listener}`],
  });
  const agents: ScaleAgent[] = [];
  const stop = async (): Promise<void> => {
    for (const agent of agents) agent.close();
    // The images are thrown away, so nothing has to be written into them.
    await child.stop('SIGKILL');
    remove();
  };
  try {
    await child.until(() => (uris().length === EXPORTS ? true : undefined), READY_SECONDS);
    for (const name of names) agents.push(new ScaleAgent(listener, name, readFileSync(token(name), 'utf8').trim()));
    for (const agent of agents) await agent.connect();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    uris: uris(),
    agents,
    residentBytes: () => residentBytes(child.pid),
    stats: () => fetchControl(controlPath, '/stats'),
    zswapped: (group) => zswapped(controlPath, group ?? '/unattributed'),
    stop,
  };
}

async function zswapped(control: string, group: string): Promise<number> {
  const path = `/cgroup/${MEMCG}${group}/memory.stat`;
  const text = await ctl(() => control, 'get', path, {});
  const bytes = /^zswapped (\d+)$/m.exec(text)?.[1];
  if (bytes === undefined) throw new Error(`${path} has no zswapped`);
  return Number(bytes);
}

/** A counter of the agent of each export. */
export function agentNumbers(stats: unknown, name: string): number[] {
  const { exports } = stats as { exports: readonly { agent: Readonly<Record<string, number>> }[] };
  return exports.map(({ agent }) => {
    const value = agent[name];
    if (value === undefined) throw new Error(`zswapd stats has no ${name} of an agent`);
    return value;
  });
}
