/** The control socket of a server: what each of its routes is answered with. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { REPOSITORY } from '../config/fields.ts';
import type { Config } from '../config/schema.ts';
import { type Control, startControl } from '../control/control.ts';
import { ControlError } from '../control/error.ts';
import type { FaultRoutes } from '../control/fault_routes.ts';
import type { FileTree } from '../control/fs/tree.ts';
import { poolCheck, shareRuns } from '../control/pool_check.ts';
import { statsReport } from '../control/stats_report.ts';
import { named } from '../os/exit_error.ts';
import type { Shared } from '../pool/shared.ts';
import { type Care, careReport } from './care.ts';
import { SHOWN } from './counters.ts';
import type { Log } from './log.ts';
import type { ServedAgents } from './served_agents.ts';
import type { Supervision } from './supervision.ts';
import type { SwapControl } from './swap_control.ts';

interface ControlParts {
  readonly swap: SwapControl;
  readonly agents: ServedAgents;
  readonly care: readonly Care[];
  readonly files: FileTree;
  readonly faults: FaultRoutes;
  readonly log: Log;
  readonly supervision: Supervision | null;
  /** A defect of ours was found. */
  readonly onFault: (error: Error) => void;
}

export async function openControl(config: Config, shared: Shared, parts: ControlParts): Promise<Control | null> {
  if (config.control.listen === null) return null;
  const { swap, agents, care, files, faults, log, onFault } = parts;
  const supervisor = parts.supervision?.history ?? null;
  const { version } = JSON.parse(readFileSync(resolve(REPOSITORY, 'package.json'), 'utf8'));
  const startedMs = performance.now();
  const done = careReport(care);
  const control = startControl({
    listen: config.control.listen,
    stats: () => {
      const droppedLines = log.dropped();
      return statsReport(shared, SHOWN, config, { version, startedMs, droppedLines, care: done, agents, supervisor });
    },
    check: shareRuns(() => poolCheck(shared)),
    swapoff: (name, flags) =>
      swap.swapoff(name, flags).catch((error: Error) => {
        // A defect found by swapoff is one of the process, as in any other thread.
        if (!(error instanceof ControlError)) onFault(error);
        throw error;
      }),
    swapon: (name) => swap.swapon(name),
    upgrade() {
      if (supervisor?.pid !== process.ppid)
        throw new ControlError(409, 'this server has no supervisor, allowed: serve --supervise');
      process.kill(supervisor.pid, 'SIGUSR2');
      return { supervisor: supervisor.pid, pid: process.pid };
    },
    files,
    faults,
    onError: (error) => log.logger.error({ err: error }, 'control'),
    warn: (line) => log.logger.warn(`control.listen: ${line}`),
  });
  return named('control.listen', control);
}
