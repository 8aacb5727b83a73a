// The agent of `./scripts/bench --scale`: its batches are read by the server's own reader, and must charge every page to a group.
import t, { type Test } from 'tap';
import { encodeBatch, type Name, type Records } from '#src/agent/wire.js';
import { BATCH_BYTES_MAX, type Batch, readBatch } from '#src/control/agent_batch.js';
import { DEPTH_MAX } from '#src/pool/memcg.js';
import { CGROUPS_MAX } from '#src/pool/owners.js';
import { nameBatches, ownerBatches } from '#src/scripts/benchmark/scale/batches.js';
import {
  DATA_MIB,
  EXPORTS,
  PAGE,
  pagesOf,
  titleOf,
  VARIANTS,
  type Variant,
} from '#src/scripts/benchmark/scale/variants.js';

/** More pages than one batch has room for; and as many as there may be. */
const [SOME_BYTES, MOST_BYTES] = [DATA_MIB[1]! * 2 ** 20, DATA_MIB.at(-1)! * 2 ** 20];

const NONE: Records = {
  count: 0,
  slot: new Uint32Array(0),
  slots: new Uint32Array(0),
  cgroup: new Float64Array(0),
  time: new Float64Array(0),
};

function asRead(t: Test, variant: Variant, names: readonly Name[], records: Records): Batch {
  const header = { flags: 0, session: 1n, sequence: 0, clockOffset: 5, error: 0, lost: 0 };
  const bytes = encodeBatch(header, names, records);
  t.ok(bytes.length <= BATCH_BYTES_MAX, `${titleOf(variant)}: ${bytes.length} bytes`);
  return readBatch(bytes, variant.exportBytes / PAGE);
}

/** Path of each slot's group, by what the batches of an export say. */
function told(t: Test, variant: Variant, x: number, round: number): Map<number, string> {
  const paths = new Map<bigint, string>();
  for (const names of nameBatches(variant, x)) {
    for (const { id, path } of asRead(t, variant, names, NONE).names) if (path !== null) paths.set(id, path);
  }
  const owners = new Map<number, string>();
  let said = 0;
  for (const records of ownerBatches(variant, SOME_BYTES, x, round)) {
    const { slots, counts, ids } = asRead(t, variant, [], records);
    t.ok(
      counts.every((count) => count === 1),
      'a slot to a record',
    );
    said += slots.length;
    slots.forEach((slot, i) => {
      owners.set(slot, paths.get(ids[i]!) ?? 'nobody');
    });
  }
  t.equal(said, owners.size, 'no slot twice');
  return owners;
}

t.test('every page is charged to a group that was named, and every group has pages', async (t) => {
  for (const variant of VARIANTS) {
    const pages = new Map<string, number>();
    for (let x = 0; x < EXPORTS; x++) {
      const owners = told(t, variant, x, 0);
      t.equal(owners.size, SOME_BYTES / PAGE, `${titleOf(variant)}: every page`);
      for (const path of owners.values()) pages.set(path, (pages.get(path) ?? 0) + 1);
    }
    t.equal(pages.size, variant.groups, titleOf(variant));
    t.notOk(pages.has('nobody'), 'every owner was named');
    const counted = [...pages].filter(([path, count]) => {
      const k = Number(/group(\d+)$/.exec(path)?.[1]);
      return count !== pagesOf(variant, SOME_BYTES, k) || path.split('/').length - 1 !== variant.depth;
    });
    t.same(counted, [], 'as many as are expected of each, at the depth that the row says');
  }
});

t.test('a round gives each page to another group, where there are others', async (t) => {
  for (const variant of VARIANTS.filter(({ groups }) => groups > 1)) {
    const [before, after] = [told(t, variant, 1, 0), told(t, variant, 1, 1)];
    t.same(
      [...before].filter(([slot, path]) => after.get(slot) === path || !after.has(slot)),
      [],
      titleOf(variant),
    );
  }
});

t.test('no row asks for more cgroups of one export, or deeper ones, than there may be', async (t) => {
  for (const variant of VARIANTS) {
    t.ok(variant.depth + 1 < DEPTH_MAX);
    const folders = new Set<string>();
    for (const names of nameBatches(variant, 0)) {
      for (const { path = '' } of names) {
        for (let end = path.indexOf('/', 1); end !== -1; end = path.indexOf('/', end + 1))
          folders.add(path.slice(0, end));
        folders.add(path);
      }
    }
    t.ok(folders.size <= CGROUPS_MAX, `${titleOf(variant)}: ${folders.size}`);
  }
});

t.test('the pages lie in clusters over the whole device, and fill a small one', async (t) => {
  const [small] = VARIANTS;
  const large = VARIANTS.find(({ exportBytes }) => exportBytes > small!.exportBytes)!;
  const last = (variant: Variant, bytes: number): number => {
    let slot = 0;
    for (const records of ownerBatches(variant, bytes, 0, 0)) slot = records.slot[records.count - 1]!;
    return slot;
  };
  t.equal(last(small!, MOST_BYTES), MOST_BYTES / PAGE - 1);
  t.ok(last(large, SOME_BYTES) > (0.8 * large.exportBytes) / PAGE);
});
