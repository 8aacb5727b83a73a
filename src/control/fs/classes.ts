/** /debug/<allocator>/classes: what the allocator of the pool holds, by size, for whichever one the pool has. */
import type { Shared } from '../../pool/shared.ts';
import { buddyClasses } from './buddy_classes.ts';
import { type Folder, table } from './tree.ts';
import { zsmallocClasses } from './zsmalloc_classes.ts';

export function allocatorFolder({ zs }: Shared): Readonly<Record<string, Folder>> {
  const read = (): string => (zs.kind === 'zsmalloc' ? zsmallocClasses(zs) : buddyClasses(zs));
  return { [zs.kind]: table({ classes: { read } }) };
}
