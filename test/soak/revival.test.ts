// A strict server that was killed: whether the next start may serve what it left.
import t from 'tap';
import { EXIT, ExitError } from '#src/os/exit_error.js';
import type { FaultRow, FaultWatch } from '#src/soak/fault_watch.js';
import type { Load } from '#src/soak/load.js';
import type { OwnServer } from '#src/soak/own_server.js';
import { Revival } from '#src/soak/revival.js';
import type { Sampler } from '#src/soak/sampler.js';

interface Case {
  /** The exit code of a start that does not discard what is there. */
  readonly refusedWith?: number;
  readonly said?: Record<string, number>;
  readonly faults?: readonly Partial<FaultRow>[];
}

function revive({ refusedWith, said = {}, faults = [] }: Case) {
  const did: string[] = [];
  const server = {
    stop: async (signal: string) => void did.push(signal),
    start: async ({ discard = false } = {}) => {
      if (refusedWith !== undefined && !discard) throw new ExitError(refusedWith, 'swap0.img: is stale');
      did.push(discard ? 'start anew' : 'start');
    },
  };
  const load = {
    start: () => undefined,
    stop: async () => undefined,
    flush: async () => did.push('flush') > 0,
    expectLoss: () => undefined,
    crashed: () => void did.push('crashed'),
    emptied: () => void did.push('emptied'),
  };
  const sampler = { take: async () => undefined, carry: () => undefined, said: (name: string) => said[name] ?? 0 };
  const around = { load, sampler, watch: { rows: faults } };
  const revival = new Revival(server as unknown as OwnServer);
  const parts = around as unknown as { load: Load; sampler: Sampler; watch: FaultWatch };
  return { did, revival, parts };
}

t.test('one that has lost nothing serves what it has flushed', async (t) => {
  const { did, revival, parts } = revive({});
  t.ok(await revival.kill(parts));
  t.same(did, ['SIGKILL', 'start', 'crashed']);
  t.match(revival, { served: 1, refused: 0, wrong: [] });
});

t.test('one that has lost a page or a sync is refused, and discarded', async (t) => {
  for (const name of ['lost_pages', 'image_sync_errors']) {
    const { did, revival, parts } = revive({ refusedWith: EXIT.staleImage, said: { [name]: 2 } });
    t.notOk(await revival.kill(parts));
    t.same(did, ['flush', 'SIGKILL', 'start anew', 'emptied']);
    t.match(revival, { served: 0, refused: 1, wrong: [] });
  }
});

t.test('one that has lost something and is served is wrong', async (t) => {
  const { revival, parts } = revive({ said: { lost_pages: 2 } });
  t.ok(await revival.kill(parts));
  t.match(revival.wrong, [/^served, although .*: lost_pages 2$/]);
});

t.test('one that has lost nothing and is refused is wrong', async (t) => {
  const faults = [
    { class: 'must-tolerate', site: 'image.write', injected: 3 },
    { class: 'must-detect', site: 'pool.object', injected: 0 },
    { class: 'must-detect', site: 'wire.reply', injected: 3 },
  ] as const;
  const { revival, parts } = revive({ refusedWith: EXIT.staleImage, faults });
  t.notOk(await revival.kill(parts));
  t.match(revival.wrong, [/^refused, although nothing was lost: swap0.img: is stale$/]);
});

t.test('one that a fault has ended may have met a loss after it was last asked', async (t) => {
  const faults = [{ class: 'must-detect', site: 'pool.object', injected: 1 }] as const;
  const { did, revival, parts } = revive({ refusedWith: EXIT.staleImage, faults });
  await revival.comeBack(parts);
  t.same(did, ['start anew', 'emptied']);
  t.match(revival, { refused: 1, wrong: [] });
});

t.test('a start that fails for another reason fails the soak', async (t) => {
  const { revival, parts } = revive({ refusedWith: EXIT.failed });
  await t.rejects(revival.comeBack(parts), /is stale/);
});
