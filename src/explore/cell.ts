/**
 * A cell: one scenario under one combination of protocols and switches. Threads build their end of it from plain data.
 */
import { PAGE_SIZE, THREAD_LANE0, THREAD_SHRINKER, TREE_PAGES } from '../pool/limits.ts';
import { type Trees, treeMask } from '../pool/tree.ts';
import { type Combination, chooseProtocols } from '../protocols/index.ts';
import type { Protocols } from '../protocols/protocol.ts';
import type { OnWrite } from '../zswap/outward.ts';
import { Zswap } from '../zswap/zswap.ts';
import { firstSlot, type Scenario } from './scenarios/scenario.ts';
import { isWatched } from './search/dimensions.ts';
import { guardDebts, guarded, type Looker } from './world/column_guard.ts';
import { watchSums } from './world/watched_sums.ts';
import { exportSettings, PAGES, type World, worldSettings } from './world/world.ts';

export interface Cell {
  readonly scenario: Scenario;
  readonly combination: Combination;
}

/** Thread numbers as in service: the image's thread is the shrinker's, walkers and clients count as lanes. */
export function threadOf(cell: Cell, actor: number): number {
  return actor === cell.scenario.actors.length ? THREAD_SHRINKER : THREAD_LANE0 + actor;
}

export async function cellZswap(
  world: World,
  cell: Cell,
  thread: number,
  consult: (name: string) => void,
  onWrite?: OnWrite,
  /** For a thread whose plain access is checked; absent for one that runs alone. */
  looker?: Omit<Looker, 'thread'> & { readonly interrupt: () => void },
): Promise<Zswap> {
  const { scenario } = cell;
  const settings = worldSettings({
    ...(cell.combination.lru === 'allocator' ? { listsPages: true } : {}),
    ...(scenario.onePage === true ? { reclaimer: 'store' as const, poolBytes: PAGE_SIZE } : {}),
    ...(scenario.heuristic === undefined ? {} : { heuristic: scenario.heuristic }),
    ...(scenario.pages === undefined ? {} : { exports: [{ name: 'swap0', pages: scenario.pages, memcg: 0 }] }),
    ...(scenario.dead === undefined ? {} : { dead: scenario.dead }),
    // Raw pages without end.
    ...(scenario.sparse === true ? { rawMaxBytes: Number.MAX_SAFE_INTEGER } : {}),
    ...(scenario.memcgMax === undefined ? {} : { memcgMax: scenario.memcgMax }),
    ...(scenario.parentMax === undefined ? {} : { parentMax: scenario.parentMax }),
    ...(scenario.exports === undefined
      ? {}
      : exportSettings(scenario.exports, scenario.memcgMax, scenario.pages, scenario.parentMax)),
    ...(scenario.agent === true
      ? { exports: [{ name: 'swap0', pages: scenario.pages ?? PAGES, memcg: 0, agent: true }] }
      : {}),
  });
  const zs = cell.combination.lru === 'allocator' ? world.listed[scenario.allocator ?? 'zbud'] : world.shared.zs;
  const whole = { ...world.shared, zs };
  const shared = looker === undefined ? whole : guarded(whole, { ...looker, thread });
  const dirty = scenario.strict === true ? shared.dirty : null;
  const sums = scenario.checksums === true ? shared.sums : null;
  // The world has no more of them than a scenario can use of the first tree.
  if (sums !== null && firstSlot(scenario) > 0)
    throw new Error(`${scenario.name} has checksums of slots that have none`);
  const protocols = chooseProtocols(cell.combination);
  const pages = settings.exports[0].pages;
  const mask = treeMask(cell.combination.treeIndexing === 'absolute');
  const trees: Trees = {
    ...shared.trees,
    // The trees of a scenario's export are fewer than the world has, if its export is smaller.
    base: scenario.exports === undefined ? Int32Array.of(0, Math.ceil(pages / TREE_PAGES)) : shared.trees.base,
    get mask(): number {
      // In the first tree an index is the slot, one way or the other.
      if (firstSlot(scenario) > 0) consult('treeIndexing');
      return mask;
    },
    get readers(): Int32Array | null {
      consult('invalidate.lockless');
      return protocols.invalidate.lockless ? shared.readers : null;
    },
  };
  const zswap = new Zswap({ ...shared, settings, trees, dirty, sums }, watched(protocols, consult), thread, onWrite);
  if (looker !== undefined) guardDebts(zswap, world.shared);
  if (sums !== null) watchSums(zswap, world);
  if (looker !== undefined && scenario.sparse === true) interruptReaders(zswap, looker.interrupt);
  return zswap;
}

/** Where objects are moved, whoever uses the bytes of one may be interrupted between finding them and that. */
function interruptReaders({ objects }: Zswap, interrupt: () => void): void {
  const offset = objects.offset.bind(objects);
  objects.offset = (handle) => {
    const at = offset(handle);
    interrupt();
    return at;
  };
}

/** The same protocols, noting which of their members are looked at. Switches note themselves (switches.ts). */
function watched(protocols: Protocols, consult: (name: string) => void): Protocols {
  return {
    entry: watch('entry', protocols.entry, consult),
    swapoff: watch('swapoff', protocols.swapoff, consult),
    busy: watch('busy', protocols.busy, consult),
    invalidate: watch('invalidate', protocols.invalidate, consult),
    get lru() {
      consult('lru');
      return protocols.lru;
    },
    switches: protocols.switches,
  };
}

/** A member that is absent is looked at as well. */
function watch<T extends object>(role: string, protocol: T, consult: (name: string) => void): T {
  return new Proxy(protocol, {
    get(target, member, receiver): unknown {
      if (role === 'entry') consult(role);
      else if (isWatched(role, String(member))) consult(`${role}.${String(member)}`);
      return Reflect.get(target, member, receiver);
    },
  });
}
