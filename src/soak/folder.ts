// The folder of one report. It is always a new one, or an empty one: no report is ever written over.
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { STATE_FOLDER } from '../config/state_folder.ts';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';

export function claimFolder(wanted: string | undefined): string {
  if (wanted === undefined) return nextFolder();
  if (wanted === '') throw new ExitError(EXIT.usage, '--report: is empty, allowed: the path of a folder');
  const folder = resolve(wanted);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw unwritable(folder, error);
    if (!isEmptyFolder(folder)) {
      const allowed = 'allowed: a folder that is empty or not there, so that no report is written over';
      throw new ExitError(EXIT.usage, `--report: ${folder} is a file, or has something in it, ${allowed}`);
    }
  }
  return folder;
}

/** var/soak/1, 2, 3: whoever makes it has it. */
function nextFolder(): string {
  const parent = join(STATE_FOLDER, 'soak');
  try {
    mkdirSync(parent, { recursive: true, mode: 0o700 });
    const numbers = readdirSync(parent).map(Number).filter(Number.isInteger);
    for (let next = Math.max(0, ...numbers) + 1; ; next++) {
      try {
        mkdirSync(join(parent, String(next)), { mode: 0o700 });
        return join(parent, String(next));
      } catch (error) {
        if (errorCode(error) !== 'EEXIST') throw error;
      }
    }
  } catch (error) {
    throw unwritable(parent, error);
  }
}

function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return false;
    throw unwritable(path, error);
  }
}

function unwritable(folder: string, error: unknown): ExitError {
  const allowed = `allowed: a folder that can be written to, in one that is there (${dirname(folder)})`;
  return new ExitError(EXIT.usage, `--report: ${folder}: ${errorText(error)}, ${allowed}`, { cause: error });
}
