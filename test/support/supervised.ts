/** Servers under a supervisor, for tests: which process is which, and that none is left. */
import { existsSync } from 'node:fs';
import type { Test } from 'tap';
import { childrenOf } from '#src/scripts/support/child.js';
import { until } from './until.ts';
import { type RunningServer, type ServerOptions, startServer } from './zswapd.ts';

/** Serves again at once, and what was answered is on the disk. */
export const DURABLE = ['durability=strict', 'supervise.backoff=10ms'];
/** Threads are most of a start, and nothing here is about them. */
const INLINE = 'lanes=0';

export interface Supervised extends RunningServer {
  /** The process that serves now; null between two. */
  server(): number | null;
  /** Waits until the next one serves; to be asked for each, as they are told apart by their ready lines. */
  another(): Promise<number>;
}

export async function startSupervised(t: Test, o: ServerOptions = {}): Promise<Supervised> {
  const supervisor = await startServer(t, { size: '8MiB', ...o, set: [INLINE, ...(o.set ?? [])], supervise: true });
  const server = (): number | null => childrenOf(supervisor.pid)[0] ?? null;
  // A server whose supervisor was killed ends by itself, and has to before its folder goes.
  const all = new Set<number>();
  t.teardown(async () => {
    supervisor.child.kill('SIGKILL');
    await until(() => [...all].every((pid) => !existsSync(`/proc/${pid}`)));
  });
  all.add(server()!);
  const lines = (): number => supervisor.stdout().split('\n').length - 1;
  const each = lines();
  return {
    ...supervisor,
    server,
    async another() {
      await until(() => lines() >= each * (all.size + 1));
      const now = server()!;
      all.add(now);
      return now;
    },
  };
}
