/** /debug/<allocator>/classes: what an allocator holds, by size, for each that the pool can be switched to. */
import { type PoolMemory, poolsOf } from '../../pool/allocator/index.ts';
import type { Shared } from '../../pool/shared.ts';
import { buddyClasses } from './buddy_classes.ts';
import { type Folder, table } from './tree.ts';
import { zsmallocClasses } from './zsmalloc_classes.ts';

export function allocatorFolders({ zs }: Shared): Readonly<Record<string, Folder>> {
  const folderOf = (pool: PoolMemory): Folder =>
    table({ classes: { read: () => (pool.kind === 'zsmalloc' ? zsmallocClasses(pool) : buddyClasses(pool)) } });
  return Object.fromEntries(poolsOf(zs).map((pool) => [pool.kind, folderOf(pool)]));
}
