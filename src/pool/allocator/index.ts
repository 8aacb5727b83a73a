/** The allocators, by name, and which one a pool's memory is of. That memory is an opaque thing to everybody outside of this folder. */
import type { Allocator, Objects } from './allocator.ts';
import type { Buddies } from './buddies.ts';
import { z3fold, zbud } from './buddy_allocators.ts';
import type { Zsmalloc } from './zsmalloc.ts';
import { zsmalloc } from './zsmalloc_allocator.ts';

export { type Objects, RECLAIM, type ReclaimResult, type Release } from './allocator.ts';
export type ObjectMemory = Zsmalloc | Buddies;
export type AllocatorName = ObjectMemory['kind'];

/** In the order in which they are listed everywhere. */
export const ALLOCATOR_NAMES = ['zsmalloc', 'zbud', 'z3fold'] as const satisfies AllocatorName[];

const ALLOCATORS = { zsmalloc, zbud, z3fold } as const;

export function allocatorNamed(name: AllocatorName): Allocator<ObjectMemory> {
  // Each is given memory of its own kind only, by allocatorOf.
  return ALLOCATORS[name] as Allocator<ObjectMemory>;
}

/** The allocator whose memory it is. */
export function allocatorOf(memory: ObjectMemory): Allocator<ObjectMemory> {
  return allocatorNamed(memory.kind);
}

/** One thread's way to the objects. */
export function openObjects(memory: ObjectMemory): Objects {
  return allocatorOf(memory).open(memory);
}

/** Bytes of a page that an object of so many bytes takes. */
export function footprintOf(memory: ObjectMemory, length: number): number {
  return allocatorOf(memory).footprint(memory, length);
}

/** pool_total_size: bytes of pool in use. */
export function poolTotal(memory: ObjectMemory): number {
  return allocatorOf(memory).total(memory);
}
