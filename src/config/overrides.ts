// `--set path=value`: single options from the command line, over those of the file.
// Invariant: a path that can't be followed is an error of the flag; nothing is dropped in silence.
import { EXIT, ExitError } from '../os/exit_error.ts';
import { formatPath, type OptionPath, parsePath } from './option_path.ts';
import { parseValue } from './source.ts';

export interface Override {
  path: OptionPath;
  value: unknown;
  /** How messages name it: `--set pool.max`. */
  flag: string;
}

/** Characters of a path at most: a name of 255 in quotes, and the options around it. */
const MAX_PATH = 1024;

type Container = Record<string | number, unknown>;

/**
 * Splits one `path=value`. The value is JSON, read as a file is; or else, if it does not begin as an object, a list or a
 * string in quotes does, the string itself, so that `pool.max=20%` needs no quotes. `isText` tells the options that are
 * strings: theirs may begin as an object or a list, as the address `[::1]:0` does.
 */
export function parseOverride(text: string, isText: (path: OptionPath) => boolean): Override {
  // An "=" inside a quoted key belongs to the path.
  const match = /^((?:"(?:[^"\\]|\\.)*"|[^="])*)=(.*)$/s.exec(text);
  if (match === null) throw new ExitError(EXIT.usage, `--set ${text}: "=" is missing, allowed: --set path=value`);
  // No option is deeper; a path costs its length squared to read.
  const path = match[1].length > MAX_PATH ? undefined : parsePath(match[1]);
  if (path === undefined || path.includes('__proto__')) {
    throw new ExitError(
      EXIT.usage,
      `--set ${match[1]}: not a path of an option, allowed: pool.max, exports[0].size, memcgs["a.b"]["zswap.max"]`,
    );
  }
  const flag = `--set ${match[1]}`;
  return { path, value: readValue(match[2], flag, isText(path)), flag };
}

/** Objects, lists and strings in quotes are told by their beginning, so that a mistake in one does not make it a string. */
const MEANT_AS_JSON = /^[ \t\r\n]*[{["]/;
const IN_QUOTES = /^[ \t\r\n]*"/;

function readValue(text: string, flag: string, isText: boolean): unknown {
  if ((isText ? IN_QUOTES : MEANT_AS_JSON).test(text))
    return parseValue(text, (offset) => `${flag}: character ${offset + 1}`);
  try {
    return JSON.parse(text);
  } catch {
    // No number, true, false or null: by the contract of --set it is a string.
    return text;
  }
}

/** Puts an override into the tree; missing objects and lists on the way are made. An index equal to the length appends. */
export function applyOverride(root: Record<string, unknown>, override: Override): void {
  const { path, flag } = override;
  let container: Container = root;
  for (const [depth, key] of path.entries()) {
    checkStep(container, path, depth, flag);
    if (depth === path.length - 1) {
      container[key] = override.value;
      return;
    }
    let next = Object.hasOwn(container, key) ? container[key] : undefined;
    if (next === undefined) {
      next = typeof path[depth + 1] === 'number' ? [] : {};
      container[key] = next;
    }
    if (typeof next !== 'object' || next === null) {
      const where = formatPath(path.slice(0, depth + 1));
      throw new ExitError(EXIT.usage, `${flag}: ${where} is ${JSON.stringify(next)} and has no options inside`);
    }
    container = next as Container;
  }
}

function checkStep(container: Container, path: OptionPath, depth: number, flag: string): void {
  const key = path[depth];
  const where = formatPath(path.slice(0, depth)) || 'the config';
  if (Array.isArray(container)) {
    if (typeof key !== 'number') {
      throw new ExitError(
        EXIT.usage,
        `${flag}: ${where} is a list, allowed: ${where}[0] to ${where}[${container.length}]`,
      );
    }
    if (key > container.length) {
      const last = container.length;
      throw new ExitError(
        EXIT.usage,
        `${flag}: index ${key} is beyond the end, allowed: 0 to ${last} (${last} appends)`,
      );
    }
  } else if (typeof key === 'number') {
    throw new ExitError(EXIT.usage, `${flag}: ${where} is not a list, allowed: a key, as in ${where}.name`);
  }
}
