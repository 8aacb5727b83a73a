/** Which file starts the program: the joined one that scripts/build makes, or the module, where one was compiled since. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** dist/bin/main.js if every module in it is as it was when they were joined, and dist/main.js otherwise: both do the same. */
export function servedProgram(root: string): string {
  const list = join(root, 'dist/bin/modules.json');
  if (!existsSync(list)) return join(root, 'dist/main.js');
  const modules: Record<string, number> = JSON.parse(readFileSync(list, 'utf8'));
  const isCurrent = ([path, at]: [string, number]): boolean =>
    statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs === at;
  return join(root, Object.entries(modules).every(isCurrent) ? 'dist/bin/main.js' : 'dist/main.js');
}
