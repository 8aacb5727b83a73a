/**
 * Servers on one thread, for tests of what starts, stops, refusals and control requests do to files, markers and counters. The
 * worker threads of a usual server take half of the processor time that its start takes, and none of that is done otherwise
 * there. A test of what threads do to each other, or of requests under way at the same time, starts a usual one (zswapd.ts).
 */
import type { Test } from 'tap';
import {
  type Ended,
  type RunningServer,
  type ServerOptions,
  spawnServer,
  startServer as startUsual,
} from './zswapd.ts';

type Owner = Pick<Test, 'teardown'>;

/** Settings of a test come last, so they win. */
const onOneThread = (o: ServerOptions): ServerOptions => ({ ...o, set: ['lanes=0', ...(o.set ?? [])] });

export function startServer(t: Owner, o: ServerOptions = {}): Promise<RunningServer> {
  return startUsual(t, onOneThread(o));
}

export function failedStart(t: Owner, o: ServerOptions = {}): Promise<Ended> {
  return spawnServer(t, onOneThread(o)).ended;
}
