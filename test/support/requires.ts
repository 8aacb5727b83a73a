/** What a test needs of its machine; without it the test is skipped and says why. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';

/** False if all of it is there, else the reason to skip. A word is a command; 'root' and '/paths' are what they say. */
export function missing(...needs: readonly string[]): string | false {
  for (const need of needs) {
    if (need === 'root') {
      if (process.getuid?.() !== 0) return 'needs root';
    } else if (need.startsWith('/')) {
      if (!usable(need)) return `${need} is not there or not ours to use`;
    } else if (spawnSync('sh', ['-c', `command -v ${need}`], { env: toolEnvironment() }).status !== 0) {
      return `${need} is not installed`;
    }
  }
  return false;
}

/** Administrators' commands are not on everybody's PATH. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };
}

function usable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
