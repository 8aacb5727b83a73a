/** The allocators, by name, and which one a pool's memory is of. That memory is an opaque thing to everybody outside of this folder. */
import * as sync from '../../shm/sync.ts';
import type { Allocator, Objects } from './allocator.ts';
import type { Buddies } from './buddies.ts';
import { z3fold, zbud } from './buddy_allocators.ts';
import { createSwitched, type Switched, switched } from './switched.ts';
import type { Zsmalloc } from './zsmalloc.ts';
import { zsmalloc } from './zsmalloc_allocator.ts';

export { type Objects, RECLAIM, type ReclaimResult, type Release } from './allocator.ts';
/** Of one allocator. */
export type PoolMemory = Zsmalloc | Buddies;
export type ObjectMemory = PoolMemory | Switched;
export type AllocatorName = PoolMemory['kind'];

/** In the order in which they are listed everywhere. */
export const ALLOCATOR_NAMES = ['zsmalloc', 'zbud', 'z3fold'] as const satisfies AllocatorName[];

const ALLOCATORS = { zsmalloc, zbud, z3fold, switched } as const;

export function allocatorNamed(name: AllocatorName): Allocator<PoolMemory> {
  // Each is given memory of its own kind only, by allocatorOf.
  return ALLOCATORS[name] as Allocator<PoolMemory>;
}

/** What can be done with memory, whichever allocator it is of. */
type Used = Pick<Allocator<ObjectMemory>, keyof typeof switched>;

/** The allocator whose memory it is. */
export function allocatorOf(memory: ObjectMemory): Used {
  return ALLOCATORS[memory.kind] as Used;
}

/**
 * Memory of the first of `names`, that can be switched to each of the others: `bytesOf` says how many bytes each is to have
 * room for.
 */
export function createObjects(
  names: readonly AllocatorName[],
  bytesOf: (name: AllocatorName) => number,
  handles: number,
  listed: boolean,
): ObjectMemory {
  const pools = names.map((name) => allocatorNamed(name).create(bytesOf(name), handles, listed));
  return pools.length === 1 ? pools[0] : createSwitched(pools, handles);
}

/** By allocator, in the order of their names in `createObjects`. */
export function poolsOf(memory: ObjectMemory): readonly PoolMemory[] {
  return memory.kind === 'switched' ? memory.pools : [memory];
}

/** Where new objects go. */
export function currentAllocator(memory: ObjectMemory): AllocatorName {
  return memory.kind === 'switched' ? memory.pools[sync.load(memory.current, 0)].kind : memory.kind;
}

/** From the next page on new objects go to another. False where the memory has none of that name. */
export function switchAllocator(memory: ObjectMemory, name: AllocatorName): boolean {
  const at = poolsOf(memory).findIndex(({ kind }) => kind === name);
  if (at >= 0 && memory.kind === 'switched') sync.store(memory.current, 0, at);
  return at >= 0;
}

/** One thread's way to the objects. */
export function openObjects(memory: ObjectMemory): Objects {
  return allocatorOf(memory).open(memory);
}

/** Bytes of a page that the object of a handle takes, with so many bytes. */
export function footprintOf(memory: ObjectMemory, handle: number, length: number): number {
  return allocatorOf(memory).footprint(memory, handle, length);
}

/** pool_total_size: bytes of pool in use. */
export function poolTotal(memory: ObjectMemory): number {
  return allocatorOf(memory).total(memory);
}
