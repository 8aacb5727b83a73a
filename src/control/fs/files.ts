/** The files of a server, where the kernel has them in its file systems: a file is a line in the table of its area. */
import type { Config } from '../../config/schema.ts';
import type { MemcgTree } from '../../pool/memcg_tree.ts';
import type { Shared } from '../../pool/shared.ts';
import { type BlockControls, blockFolder, type ImagePages } from './block.ts';
import { cgroupFolder } from './cgroup.ts';
import { allocatorFolders } from './classes.ts';
import { zswapCounters } from './debug.ts';
import { parameters, type Tunables } from './parameters.ts';
import { type FileChange, FileTree, table } from './tree.ts';
import { type ReclaimBytes, treeCgroups } from './tree_cgroups.ts';

interface FileSources {
  readonly shared: Shared;
  readonly memcgs: MemcgTree;
  readonly reclaim: ReclaimBytes;
  readonly config: Config;
  readonly tunables: Tunables;
  /** What percentages of the pool are of, in bytes. */
  readonly usableMemory: number;
  readonly imagePages: ImagePages;
  readonly blocks: BlockControls;
  readonly changed: (change: FileChange) => void;
}

export function kernelFiles(sources: FileSources): FileTree {
  const { shared, memcgs, reclaim, config, tunables, usableMemory, imagePages, blocks, changed } = sources;
  return new FileTree(
    table({
      block: blockFolder(shared, imagePages, blocks),
      cgroup: cgroupFolder(treeCgroups(shared, memcgs, reclaim)),
      debug: table({ ...allocatorFolders(shared), zswap: zswapCounters(shared) }),
      parameters: parameters(config, tunables, usableMemory, shared.zs),
    }),
    changed,
  );
}
