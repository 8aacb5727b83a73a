/**
 * Whether a figure drifts: the slope of Theil and Sen, the median of the slopes between all pairs of samples, which a few
 * outliers do not move, and its confidence interval by Kendall's statistic (Sen 1968). Samples of a process that collects
 * garbage are not independent, so they are first put together into at most BINS medians, which makes the interval honest and
 * the number of pairs bounded.
 */
interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Slope {
  /** Per unit of x. */
  readonly slope: number;
  readonly low: number;
  readonly high: number;
  /** The median of y. */
  readonly level: number;
  readonly points: number;
}

const BINS = 60;
/** Of the confidence interval, two-sided, 99 per cent: several figures are looked at in each run. */
const Z = 2.576;
/** Fewer say nothing. */
const POINTS_MIN = 8;

/** Null where there are too few points. */
export function theilSen(points: readonly Point[]): Slope | null {
  const bins = binned(points);
  const n = bins.length;
  if (n < POINTS_MIN) return null;
  const slopes: number[] = [];
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      if (bins[j].x !== bins[i].x) slopes.push((bins[j].y - bins[i].y) / (bins[j].x - bins[i].x));
    }
  }
  slopes.sort((a, b) => a - b);
  const margin = Z * Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const at = (rank: number): number => slopes[Math.min(slopes.length - 1, Math.max(0, Math.round(rank)))];
  return {
    slope: median(slopes),
    low: at((slopes.length - margin) / 2 - 1),
    high: at((slopes.length + margin) / 2),
    level: median(points.map(({ y }) => y)),
    points: points.length,
  };
}

function binned(points: readonly Point[]): Point[] {
  if (points.length <= BINS) return [...points];
  return Array.from({ length: BINS }, (_, bin) => {
    const part = points.slice(Math.floor((bin * points.length) / BINS), Math.floor(((bin + 1) * points.length) / BINS));
    return { x: median(part.map(({ x }) => x)), y: median(part.map(({ y }) => y)) };
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
