/** Runs command lines and collects what they say. */
import { fileURLToPath } from 'node:url';
import { type Ended, run } from './run_process.ts';
import { MAIN } from './zswapd.ts';

const SEVERAL = fileURLToPath(new URL('command_lines.js', import.meta.url));

export function runZswapd(args: readonly string[]): Promise<Ended> {
  return run(MAIN, [...args]);
}

/** What each of the command lines comes to, in one process. */
export async function runEach(lines: readonly (readonly string[])[]): Promise<Ended[]> {
  const { code, stdout, stderr } = await run(SEVERAL, [JSON.stringify(lines)]);
  if (code !== 0 || stderr !== '') throw new Error(`${code}: ${stderr}`);
  return JSON.parse(stdout);
}
