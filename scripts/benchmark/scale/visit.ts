/**
 * One visit of a row: a server starts empty, its agents name all groups and charge every page, the pages are written, looked for
 * where they must be, and loaded. A row whose pages are not charged to its groups would measure another row, so that is an error.
 */
import { join } from 'node:path';
import { counter } from '../ours.ts';
import type { StartContext } from '../server.ts';
import { nameBatches, ownerBatches } from './batches.ts';
import { fillClusters, type LoadPlan, loadClusters, type Speed } from './load.ts';
import { changeOwners, type OwnerChanges } from './owners.ts';
import { agentNumbers, type ScaleServer, startScaleServer } from './server.ts';
import { EXPORTS, groupsOf, PAGE, pagesOf, pathOf, strideBytes, titleOf, type Variant } from './variants.ts';

/** Groups whose pages are counted, evenly from the first to the last: asking each of 10,000 would take longer than the loads. */
const LOOKED_AT = 64;
/** Of the pages' size; compressed they have less than half of it, and no page may be rejected. */
const POOL_SHARE = 1.25;

interface VisitPlan {
  readonly context: StartContext;
  readonly seconds: number;
  readonly seed: number;
}

export interface Visit {
  readonly write: Speed;
  readonly read: Speed;
  readonly residentBytes: number;
  readonly metadataBytesPerPage: number;
  /** Absent in a row of one group, where no page has another one to go to. */
  readonly owners?: OwnerChanges;
}

export async function visit(plan: VisitPlan, variant: Variant): Promise<Visit> {
  const { context, seconds, seed } = plan;
  const { exportBytes } = variant;
  const dataBytes = context.bytes;
  const server = await startScaleServer(context, {
    exportBytes,
    poolBytes: Math.ceil(dataBytes * EXPORTS * POOL_SHARE),
  });
  try {
    await chargeAll(server, variant, dataBytes);
    const load: LoadPlan = {
      uris: server.uris,
      ...{ exportBytes, dataBytes, strideBytes: strideBytes(variant, dataBytes) },
      output: join(context.folder, 'fio.json'),
    };
    await fillClusters(load);
    await checkCharges(server, variant, dataBytes);
    const write = await loadClusters(load, { mode: 'randwrite', seconds, seed });
    const read = await loadClusters(load, { mode: 'randread', seconds, seed });
    await checkCharges(server, variant, dataBytes);
    const stats = await server.stats();
    const figures = {
      write,
      read,
      residentBytes: server.residentBytes(),
      metadataBytesPerPage: counter(stats, 'metadata_bytes') / counter(stats, 'stored_pages'),
    };
    return variant.groups === 1
      ? figures
      : { ...figures, owners: await changeOwners(server, variant, dataBytes, seconds) };
  } finally {
    await server.stop();
  }
}

export async function chargeAll({ agents }: ScaleServer, variant: Variant, dataBytes: number): Promise<void> {
  for (const [x, agent] of agents.entries()) {
    for (const names of nameBatches(variant, x)) await agent.name(names);
    for (const records of ownerBatches(variant, dataBytes, x, 0)) await agent.charge(records);
  }
}

/** By what the server tells of its memcgs: each group has its pages, no page is nobody's, and none has left the pool. */
export async function checkCharges(server: ScaleServer, variant: Variant, dataBytes: number): Promise<void> {
  const stats = await server.stats();
  const wanted = (dataBytes / PAGE) * EXPORTS;
  const stored = counter(stats, 'stored_pages');
  const errors = counter(stats, 'errors');
  const fail = (what: string): never => {
    throw new Error(`${titleOf(variant)}: ${what}`);
  };
  if (stored !== wanted || errors > 0) fail(`${stored} pages of ${wanted} are stored, ${errors} requests failed`);
  const cgroups = agentNumbers(stats, 'cgroups');
  const named = Array.from({ length: EXPORTS }, (_, x) => groupsOf(variant, x).count);
  if (cgroups.join() !== named.join()) fail(`the agents' groups are ${cgroups}, not ${named}`);
  const nobodys = await server.zswapped(null);
  if (nobodys !== 0) fail(`${nobodys / PAGE} pages are unattributed`);
  const looked = Math.min(LOOKED_AT, variant.groups);
  for (let i = 0; i < looked; i++) {
    const k = looked === 1 ? 0 : Math.round((i * (variant.groups - 1)) / (looked - 1));
    const [has, should] = [(await server.zswapped(pathOf(variant, k))) / PAGE, pagesOf(variant, dataBytes, k)];
    if (has !== should) fail(`${pathOf(variant, k)} has ${has} pages, not ${should}`);
  }
}
