/** When each fault was there: as long as the server calls it active, which is asked each second. */
import type { Span } from './availability.ts';

/** What an injection does goes on for a while. */
const AFTER_MS = 1000;
/** Of a fault that comes and goes. */
const SPANS_MAX = 1000;

interface Presence {
  readonly spans: { readonly fromMs: number; toMs: number }[];
  /** It is active yet, as far as is known. */
  isOpen: boolean;
  firstMs: number;
  lastMs: number;
}

export class Presences {
  readonly #byId = new Map<string, Presence>();

  /** It was asked for at this time. */
  told(id: string, isActive: boolean, nowMs: number): void {
    const one = this.#of(id);
    if (isActive && !one.isOpen && one.spans.length < SPANS_MAX) one.spans.push({ fromMs: nowMs, toMs: nowMs });
    const last = one.spans.at(-1);
    if (last !== undefined && (isActive || one.isOpen)) last.toMs = nowMs;
    one.isOpen = isActive;
  }

  injected(id: string, ms: number): void {
    const one = this.#of(id);
    one.firstMs = Math.min(one.firstMs, ms);
    one.lastMs = Math.max(one.lastMs, ms);
  }

  /**
   * What has no end of its own is there until all faults are cleared, although it may have happened once, long before: it counts
   * from its first injection to its last. `clearedMs`: when they were. Nothing of a fault that was never injected.
   */
  spansOf(id: string, clearedMs: number): readonly Span[] {
    const one = this.#byId.get(id);
    if (one === undefined || one.lastMs === 0) return [];
    const ends = (span: Span): boolean => span.toMs < clearedMs;
    return one.spans.map((span) => {
      if (ends(span)) return span;
      return { fromMs: Math.max(span.fromMs, one.firstMs), toMs: Math.min(span.toMs, one.lastMs + AFTER_MS) };
    });
  }

  #of(id: string): Presence {
    const found = this.#byId.get(id);
    if (found !== undefined) return found;
    const made = { spans: [], isOpen: false, firstMs: Number.POSITIVE_INFINITY, lastMs: 0 };
    this.#byId.set(id, made);
    return made;
  }
}
