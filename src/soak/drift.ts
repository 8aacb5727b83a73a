/**
 * Whether memory, descriptors or latency grow with time. Judged only in runs of DRIFT_MIN_S and longer, and without their
 * beginning, in which a server fills its pool; and only if the growth matters: a slope that is surely above zero, but comes to
 * less than MATTERS of the level in an hour, is stated and not held against the server.
 */
import type { Sample } from './sampler.ts';
import { type Slope, theilSen } from './slope.ts';

export const DRIFT_MIN_S = 1800;
/** Share of the run that is its beginning. */
const BEGINNING = 1 / 3;
export const MATTERS = 0.05;

export interface Drift {
  readonly name: string;
  readonly unit: string;
  /** Per hour. Null where there are too few samples. */
  readonly slope: Slope | null;
  /** Null: not judged. */
  readonly grows: boolean | null;
}

const FIGURES: readonly { name: string; unit: string; of: (sample: Sample) => number | undefined }[] = [
  { name: 'RSS of the server', unit: 'bytes', of: ({ server }) => server?.rss },
  { name: 'descriptors of the server', unit: 'fds', of: ({ server }) => server?.fds },
  { name: 'heap of the lanes', unit: 'bytes', of: ({ stats }) => stats?.['pool.heap_used_bytes'] || undefined },
  { name: 'RSS of the soak', unit: 'bytes', of: ({ own }) => own.rss },
  { name: 'heap of the soak', unit: 'bytes', of: ({ own }) => own.heap },
  { name: 'p99 of reads', unit: 'µs', of: ({ latencies }) => latencies.read?.p99 },
  { name: 'p99 of writes', unit: 'µs', of: ({ latencies }) => latencies.write?.p99 },
  // Beside those of latency: a machine that others use is no reason for a verdict, and may be one for what it says.
  { name: 'processors, taken by others', unit: '%', of: ({ others }) => others },
];
/** The soak keeps what it will report; that it grows says nothing of the server, and what others do neither. */
const OWN = /of the soak$|by others$/;

export function driftOf(samples: readonly Sample[]): Drift[] {
  const end = samples.at(-1)?.t ?? 0;
  const isLong = end >= DRIFT_MIN_S;
  const later = samples.filter(({ t, phase }) => t >= end * BEGINNING && phase !== 'verify');
  return FIGURES.flatMap(({ name, unit, of }) => {
    const points = later.flatMap((sample) => {
      const y = of(sample);
      return y === undefined ? [] : [{ x: sample.t / 3600, y }];
    });
    if (points.length === 0) return [];
    const slope = theilSen(points);
    const matters = slope !== null && slope.low > 0 && slope.slope > MATTERS * slope.level;
    return [{ name, unit, slope, grows: isLong && slope !== null && !OWN.test(name) ? matters : null }];
  });
}
