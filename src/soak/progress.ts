/** The line that a soak shows every few seconds. */
import type { FaultWatch } from './fault_watch.ts';
import type { Ledger } from './ledger.ts';
import { WITNESS } from './plan.ts';
import type { Sampler } from './sampler.ts';

interface Progress {
  readonly ms: number;
  readonly sampler: Sampler;
  readonly ledger: Ledger;
  readonly watch: FaultWatch | null;
  readonly restarts: number;
}

export function progressLine({ ms: wanted, sampler, ledger, watch, restarts }: Progress): string {
  const last = sampler.samples.at(-1);
  const ms = (us: number | undefined): string => (us === undefined ? '-' : (us / 1000).toFixed(1));
  const injected = watch?.rows.reduce((sum, { id, injected }) => sum + (id === WITNESS ? 0 : injected), 0);
  return [
    `${sampler.seconds.toFixed(0)} of ${wanted / 1000} s, ${ledger.phase}`,
    `${(last?.opsPerSecond ?? 0).toFixed(0)} ops/s, ${((last?.bytesPerSecond ?? 0) / 1e6).toFixed(0)} MB/s`,
    `p99 read ${ms(last?.latencies.read?.p99)} ms, write ${ms(last?.latencies.write?.p99)} ms`,
    `wrong ${ledger.wrongPages}, lost ${ledger.lostPages}`,
    ...(injected === undefined ? [] : [`${injected} faults injected`]),
    `${ledger.troubleCount} errors`,
    ...(restarts === 0 ? [] : [`${restarts} restarts`]),
  ].join('; ');
}

/** What is told when a phase begins. */
export const PHASES: Readonly<Record<string, string>> = {
  faults: 'the device is driven, faults are injected',
  healed: 'faults are cleared, everything has to work again',
  kill: 'the server is killed, and started again',
  verify: 'everything is read back',
};
