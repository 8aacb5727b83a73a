// One page of a trace buffer as trace_pipe_raw hands it out: a time, a length, then events with deltas of time.
// The format is the kernel's (Documentation/trace/ring-buffer-map and events/header_page); the offsets are read from there.

/** Of the 32 bits in front of an event the lower five; data events have the number of their words here. */
const TYPE = { large: 0, padding: 29, extend: 30, stamp: 31 } as const;

/** Of the word with a page's length, the bits of the length. */
const LENGTH_MASK = (1 << 27) - 1;
const MISSED_EVENTS = 1 << 31;

export interface PageLayout {
  readonly commit: number;
  readonly data: number;
}

/** From the text of events/header_page. */
export function parsePageLayout(text: string): PageLayout | undefined {
  const offset = (name: string): number | undefined => {
    const found = new RegExp(`field: \\S+ ${name};\\s+offset:(\\d+);`).exec(text);
    return found === null ? undefined : Number(found[1]);
  };
  const commit = offset('commit');
  const data = offset('data');
  return commit === undefined || data === undefined ? undefined : { commit, data };
}

/** Gets an event: its time in µs of the trace's clock, and where its bytes begin. */
type Visit = (time: number, at: number) => void;

/** Calls `visit` for each event; returns whether events before this page were lost. */
export function readPage(page: Buffer, layout: PageLayout, visit: Visit): boolean {
  const commit = page.readUInt32LE(layout.commit);
  const end = Math.min(layout.data + (commit & LENGTH_MASK), page.length);
  let nanoseconds = wide(page, 0);
  for (let at = layout.data; at + 4 <= end; ) {
    const word = page.readUInt32LE(at);
    const type = word & 31;
    const delta = word >>> 5;
    at += 4;
    if (type === TYPE.padding) {
      // A padding without a time is the unused rest of the page.
      if (delta === 0 || at + 4 > end) break;
      nanoseconds += delta;
      at += Math.max(4, page.readUInt32LE(at));
    } else if (type === TYPE.extend) {
      nanoseconds += delta + page.readUInt32LE(at) * 2 ** 27;
      at += 4;
    } else if (type === TYPE.stamp) {
      // Its five topmost bits are missing; a clock that counts since the start of the machine has none there for 18 years.
      nanoseconds = delta + page.readUInt32LE(at) * 2 ** 27;
      at += 4;
    } else {
      nanoseconds += delta;
      const isLarge = type === TYPE.large;
      const length = isLarge ? page.readUInt32LE(at) - 4 : type * 4;
      if (isLarge) at += 4;
      if (length < 0 || at + length > end) break;
      visit(nanoseconds / 1000, at);
      at += (length + 3) & ~3;
    }
  }
  return (commit & MISSED_EVENTS) !== 0;
}

/** 64 bits as a number: what is above 2^53 loses its last bits, which for a time are nanoseconds after 104 days. */
export function wide(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}
