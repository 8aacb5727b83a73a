// The token of an agent: a file with 64 hexadecimal digits, which nobody but its owner may read.
// Invariant: a token that others may know is never used, and one that is there is never changed.
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';

const TOKEN_BYTES = 32;
const PATTERN = new RegExp(`^[0-9a-f]{${TOKEN_BYTES * 2}}\\n?$`, 'i');
const OF_OTHERS = 0o077;

/** Why the file at `path`, which is there, can't be used; empty if it can. */
export function tokenProblems(path: string): string[] {
  try {
    const found = statSync(path);
    if (!found.isFile()) return [`${path} is not a regular file, allowed: one, or a path where nothing is`];
    if ((found.mode & OF_OTHERS) !== 0) return [`${path} can be used by others, allowed: mode 0600`];
    if (PATTERN.test(readFileSync(path, 'utf8'))) return [];
    return [`${path} has no token, allowed: ${TOKEN_BYTES * 2} hexadecimal digits, or a path where nothing is`];
  } catch (error) {
    return [`can't use ${path}: ${errorText(error)}, allowed: a file that can be read`];
  }
}

/** The token at `path`, made if it is missing. Throws ExitError. */
export function readToken(path: string): Buffer {
  makeToken(path);
  const [problem] = tokenProblems(path);
  if (problem !== undefined) throw new ExitError(EXIT.usage, problem);
  return Buffer.from(readFileSync(path, 'utf8').trim(), 'hex');
}

/** Two servers that start at once: the second finds what the first has made. */
function makeToken(path: string): void {
  try {
    writeFileSync(path, `${randomBytes(TOKEN_BYTES).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return;
    throw new ExitError(EXIT.usage, `can't make ${path}: ${errorText(error)}`, { cause: error });
  }
}
