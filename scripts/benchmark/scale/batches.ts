/**
 * What the agent of an export says, cut into batches that the server takes: first the names of all groups, then whose each page is.
 */
import { BATCH_BYTES_MAX, HEADER_BYTES, type Name, nameBytes, RECORD_BYTES, type Records } from '#src/agent/wire.js';
import { groupOf, groupsOf, PAGE, pathOf, slotOf, type Variant } from './variants.ts';

/** Records of a full batch. */
const RECORDS_PER_BATCH = Math.floor((BATCH_BYTES_MAX - HEADER_BYTES) / RECORD_BYTES);

/** An id may be any number but 0. */
const idOf = (group: number): number => group + 1;

/** Every name of the groups of export `x`, in batches without records. */
export function* nameBatches(variant: Variant, x: number): Generator<Name[]> {
  const { first, count } = groupsOf(variant, x);
  let names: Name[] = [];
  let bytes = HEADER_BYTES;
  for (let k = first; k < first + count; k++) {
    const name = { id: idOf(k), path: pathOf(variant, k) };
    if (bytes + nameBytes(name) > BATCH_BYTES_MAX) {
      yield names;
      names = [];
      bytes = HEADER_BYTES;
    }
    names.push(name);
    bytes += nameBytes(name);
  }
  yield names;
}

/** Whose each page of export `x` is in a round, a record for each, because neighbours are of different groups. */
export function* ownerBatches(variant: Variant, dataBytes: number, x: number, round: number): Generator<Records> {
  const pages = dataBytes / PAGE;
  for (let from = 0; from < pages; from += RECORDS_PER_BATCH) {
    const count = Math.min(RECORDS_PER_BATCH, pages - from);
    const slot = Uint32Array.from({ length: count }, (_, i) => slotOf(variant, dataBytes, from + i));
    const cgroup = Float64Array.from({ length: count }, (_, i) => idOf(groupOf(variant, x, from + i, round)));
    yield { count, slot, slots: new Uint32Array(count).fill(1), cgroup, time: new Float64Array(count) };
  }
}
