/** The fault plan of a server under test, over its control socket. */
import { askControl } from '#src/cli/ask_control.js';
import type { RunningServer } from './zswapd.ts';

export interface FaultReport {
  plan: string | null;
  faults: { id: string; reached: number; matched: number; injected: number; armed: boolean; active: boolean }[];
  events: { n: number; id: string; slot: number; export?: string; connection?: number }[];
  eventsLost: number;
}

export function askFaults(
  server: RunningServer,
  method: 'GET' | 'POST' | 'DELETE',
  body = '',
  query = '',
): Promise<FaultReport> {
  return askControl(server.controlPath, { method, path: `/v1/faults${query}`, body }, ({ status, text }) => {
    if (status !== 200) throw new Error(`${status} ${text}`);
    return JSON.parse(text);
  });
}

export const planOf = (...faults: object[]): string => JSON.stringify({ seed: 5, faults });
