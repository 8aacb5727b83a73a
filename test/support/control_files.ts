/** The files of a running server, as `zswapd ctl` has them. */
import { askControl } from '#src/cli/ask_control.js';
import type { RunningServer } from './zswapd.ts';

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';

/** The answer to a request for a file, whatever its status. `timeoutMs`: null for none. */
export const askFile = (
  server: RunningServer,
  method: Method,
  path: string,
  body?: string,
  timeoutMs?: null,
): Promise<string> =>
  askControl(server.controlPath, { method, path: `/v1/fs${path}`, body, timeoutMs }, ({ text }) => text);

export const getFile = (server: RunningServer, path: string): Promise<string> => askFile(server, 'GET', path);
export const setFile = (server: RunningServer, path: string, value: string): Promise<string> =>
  askFile(server, 'PUT', path, value);

/** memory.stat of the memcg at `path`, by key; the root's is empty, others begin with a slash. */
export async function memoryStat(server: RunningServer, path: string): Promise<Record<string, number>> {
  const lines = (await getFile(server, `/cgroup${path}/memory.stat`)).trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(' ')).map(([key, value]) => [key, Number(value)]));
}
