/** How an operator runs this program again: `zswapd` is on nobody's PATH, and the Node there may be another one. */
import { resolve } from 'node:path';
import { shellLine } from '../os/shell.ts';
import { REPOSITORY } from './fields.ts';

/** A line for a shell that runs a command of ours, from whatever folder. */
export function programLine(...words: readonly string[]): string {
  return shellLine([process.execPath, resolve(REPOSITORY, 'dist/main.js'), ...words]);
}
