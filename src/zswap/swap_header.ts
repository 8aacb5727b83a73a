/**
 * The swap signature in slot 0: seen when the page is written, shown in the stats, and of no effect. A copy of a swap image
 * may write slot 0 last, so nothing may be concluded from it about any other slot.
 */
import { PAGE_SIZE } from '../pool/limits.ts';
import { SWAP_HEADER_BYTES as HEADER_BYTES, type Shared } from '../pool/shared.ts';
import { C } from './counters.ts';

/** What mkswap writes from byte 1024 on: version, last page, bad pages, uuid, label. */
const INFO_AT = 1024;
const INFO_BYTES = 44;
const SIGNATURE = 'SWAPSPACE2';
// A row is these bytes, then 1 if the page had a signature.
interface SwapHeader {
  readonly version: number;
  readonly last_page: number;
  readonly bad_pages: number;
  readonly uuid: string;
  readonly label: string;
}

/** Looks at a page that is going to slot 0. `counters` is the thread's row, null where nothing is counted. */
export function noteHeader(shared: Shared, counters: Float64Array | null, x: number, page: Uint8Array): void {
  const row = shared.swapHeaders.subarray(x * HEADER_BYTES, (x + 1) * HEADER_BYTES);
  const at = PAGE_SIZE - SIGNATURE.length;
  const seen = [...SIGNATURE].every((letter, i) => page[at + i] === letter.charCodeAt(0));
  if (seen) row.set(page.subarray(INFO_AT, INFO_AT + INFO_BYTES));
  row[INFO_BYTES] = seen ? 1 : 0;
  if (seen && counters !== null) counters[C.swap_signatures]++;
}

/** The signature that slot 0 has, or null. A write of slot 0 at the same moment may show a mix of both. */
export function readHeader(shared: Shared, x: number): SwapHeader | null {
  const row = shared.swapHeaders.slice(x * HEADER_BYTES, (x + 1) * HEADER_BYTES);
  if (row[INFO_BYTES] === 0) return null;
  const view = new DataView(row.buffer);
  const hex = Buffer.from(row.subarray(12, 28)).toString('hex');
  const label = Buffer.from(row.subarray(28, INFO_BYTES)).toString('latin1');
  return {
    version: view.getUint32(0, true),
    last_page: view.getUint32(4, true),
    bad_pages: view.getUint32(8, true),
    uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    // mkswap fills the label up with zeros; what is not printable is not shown.
    label: label.replace(/\0.*$/s, '').replace(/[^\x20-\x7e]/g, '?'),
  };
}
