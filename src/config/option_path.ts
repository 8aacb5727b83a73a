// Paths of options, as --set takes them and as messages show them: `exports[0].size`, `memcgs.guest.zswap.max`.

export type OptionPath = (string | number)[];

/** Option names that contain a dot; as the kernel writes them, so that --set takes them without quotes too. */
const DOTTED_NAMES = ['zswap.max', 'zswap.writeback'];

/** Splits `a.b[1]["c.d"]`, or answers undefined where that is not a path. */
export function parsePath(text: string): OptionPath | undefined {
  const path: OptionPath = [];
  let rest = text;
  while (rest !== '') {
    const bracket = /^\[(?:(\d{1,6})|("(?:[^"\\]|\\.)*"))\]/.exec(rest);
    if (bracket !== null) {
      if (path.length === 0 && bracket[1] !== undefined) return undefined;
      const key = bracket[1] === undefined ? parseQuoted(bracket[2]) : Number(bracket[1]);
      if (key === undefined) return undefined;
      path.push(key);
      rest = rest.slice(bracket[0].length);
      continue;
    }
    if (path.length > 0) {
      if (!rest.startsWith('.')) return undefined;
      rest = rest.slice(1);
    }
    const name = dottedName(rest) ?? /^[^.[\]="]+/.exec(rest)?.[0];
    if (name === undefined) return undefined;
    path.push(name);
    rest = rest.slice(name.length);
  }
  return path.length === 0 ? undefined : path;
}

function parseQuoted(text: string): string | undefined {
  try {
    return String(JSON.parse(text));
  } catch {
    // An escape that JSON does not have: the caller reports the whole path.
    return undefined;
  }
}

function dottedName(rest: string): string | undefined {
  return DOTTED_NAMES.find((name) => rest === name);
}

export function formatPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (/^[\w$-]+$/.test(String(key))) text += text === '' ? String(key) : `.${String(key)}`;
    else text += `[${JSON.stringify(String(key))}]`;
  }
  return text;
}

/** Length of what two paths have in common at their start. */
export function commonLength(a: readonly PropertyKey[], b: readonly PropertyKey[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** What is wrong with an option. */
export interface Problem {
  path: OptionPath;
  message: string;
  /** The key is wrong, not its value. */
  key?: boolean;
}
