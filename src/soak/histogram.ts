/**
 * Latencies in buckets of fixed size, as HdrHistogram has them: 32 to each doubling, so a value is known to 3 per cent, from
 * 1 µs to 2^32 µs (71 minutes; what is longer counts as that). Adding costs no memory.
 */
const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
const TOP = 32;
const BUCKETS = (TOP - SUB_BITS + 1) * SUB;

export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  add(microseconds: number): void {
    const value = Math.min(2 ** TOP - 1, Math.max(0, Math.round(microseconds)));
    this.#counts[bucketOf(value)]++;
    this.#count++;
    this.#max = Math.max(this.#max, value);
  }

  /** The value that a share of all is at or below: the upper end of its bucket, but no more than the greatest. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let sum = 0;
    for (let i = 0; i < BUCKETS; i++) {
      sum += this.#counts[i];
      if (sum >= wanted) return Math.min(upperOf(i), this.#max);
    }
    return 0;
  }

  get latency(): Latency {
    const at = (share: number): number => this.quantile(share);
    return { count: this.#count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: this.#max };
  }

  /** Buckets that have any: their lower and upper end, and how many. */
  rows(): { from: number; to: number; count: number }[] {
    return [...this.#counts].flatMap((count, i) =>
      count === 0 ? [] : [{ from: i === 0 ? 0 : upperOf(i - 1) + 1, to: upperOf(i), count }],
    );
  }

  merge(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i] += other.#counts[i];
    this.#count += other.#count;
    this.#max = Math.max(this.#max, other.#max);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }
}

/** Values below 2 × SUB have a bucket each. */
function bucketOf(value: number): number {
  if (value < 2 * SUB) return value;
  const exponent = 31 - Math.clz32(value) - SUB_BITS;
  return exponent * SUB + (value >>> exponent);
}

function upperOf(bucket: number): number {
  if (bucket < 2 * SUB) return bucket;
  const exponent = Math.floor(bucket / SUB) - 1;
  return (bucket - exponent * SUB + 1) * 2 ** exponent - 1;
}
