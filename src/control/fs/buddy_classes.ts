/**
 * /debug/zbud/classes and /debug/z3fold/classes: objects by how many chunks they have, and pages by how many an object more
 * may have. The kernel had no such file. Read without locks, as the counters are: what changes hands meanwhile is seen here
 * or there.
 */
import { type Buddies, CHUNK_BYTES, LISTS, NO_LIST, PAGE_CHUNKS } from '../../pool/allocator/buddies.ts';
import { pagesTouched } from '../../pool/allocator/stock.ts';

interface Chunks {
  first: number;
  middle: number;
  last: number;
  /** Pages with room for an object of so many. */
  free: number;
}

export function buddyClasses(memory: Buddies): string {
  const { first, middle, last, list } = memory;
  const rows = Array.from({ length: PAGE_CHUNKS + 1 }, (): Chunks => ({ first: 0, middle: 0, last: 0, free: 0 }));
  const end = pagesTouched(memory);
  let pages = 0;
  for (let page = 0; page < end; page++) {
    // Zbud has no middle.
    const { [page]: inMiddle = 0 } = middle;
    if (first[page] + inMiddle + last[page] === 0) continue;
    pages++;
    if (first[page] > 0) rows[first[page]].first++;
    if (inMiddle > 0) rows[inMiddle].middle++;
    if (last[page] > 0) rows[last[page]].last++;
    if (list[page] !== NO_LIST && list[page] < LISTS) rows[list[page]].free++;
  }
  return format(rows.slice(1), pages);
}

function format(rows: readonly Chunks[], pages: number): string {
  const sum = (of: (chunks: Chunks) => number): number => rows.reduce((all, one) => all + of(one), 0);
  const objects = (one: Chunks): number => one.first + one.middle + one.last;
  const totals = [objects, ...(['first', 'middle', 'last', 'free'] as const).map((key) => (one: Chunks) => one[key])];
  return [
    row(['chunks', 'size', 'obj_used', 'first', 'middle', 'last', 'pages_free', 'pages_used']),
    ...rows.map((one, i) => {
      return row([i + 1, (i + 1) * CHUNK_BYTES, objects(one), one.first, one.middle, one.last, one.free, '']);
    }),
    '',
    row(['Total', '', ...totals.map(sum), pages]),
  ].join('\n');
}

function row(cells: readonly (string | number)[]): string {
  const widths = [6, 6, 10, 10, 10, 10, 10, 10];
  return cells.map((cell, i) => ` ${String(cell).padStart(widths[i])}`).join('');
}
