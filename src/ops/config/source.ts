// A config file: JSON with comments, and where in it each value stands.
// Invariant: every position is `file:line:column`, counted from 1, with the file named as the operator named it.
import { readFileSync, statSync } from 'node:fs';
import { getNodeValue, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { EXIT, ExitError, errorText } from '../exit_error.ts';
import type { OptionPath } from './option_path.ts';

/** A larger file is no config but a mistake, such as an image given for it. */
const MAX_FILE_BYTES = 1024 * 1024;

export interface Source {
  /** The file's content as plain values; always an object. */
  value: Record<string, unknown>;
  /** `file:line:column` of the value at a path, or of the key there; and how much of the path the file has. */
  locate(path: OptionPath, what: 'key' | 'value'): { position: string; depth: number };
}

export function readSource(name: string): Source {
  return parseSource(name, readText(name));
}

function readText(name: string): string {
  try {
    const stat = statSync(name);
    if (!stat.isFile()) throw new Error('not a regular file');
    if (stat.size > MAX_FILE_BYTES) throw new Error(`${stat.size} bytes, allowed: at most ${MAX_FILE_BYTES}`);
    // A byte order mark is no part of the JSON, and some editors write one.
    return readFileSync(name, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw new ExitError(EXIT.usage, `${name}: can't read the config: ${errorText(error)}`, { cause: error });
  }
}

/** Parses the text of a config; throws with the position of the first mistake. */
export function parseSource(name: string, text: string): Source {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  const at = (offset: number) => `${name}:${lineAndColumn(text, offset)}`;
  const first = errors[0];
  if (first !== undefined) {
    throw new ExitError(EXIT.usage, `${at(first.offset)}: ${syntaxMessage(first)}, allowed: JSON with comments`);
  }
  if (root?.type !== 'object') {
    throw new ExitError(
      EXIT.usage,
      `${at(root?.offset ?? 0)}: the config is not an object, allowed: { "option": value }`,
    );
  }
  refuseBadKeys(root, at);
  return {
    value: getNodeValue(root),
    locate(path, what) {
      const { node, depth } = deepest(root, path);
      // The value of a property is its second child; the property's own offset is that of its key.
      const property = what === 'key' && depth === path.length && node.parent?.type === 'property' ? node.parent : node;
      return { position: at(property.offset), depth };
    },
  };
}

const SYNTAX_MESSAGES: Record<string, string> = {
  CommaExpected: 'a comma is missing',
  ColonExpected: 'a colon is missing',
  CloseBraceExpected: 'a closing brace is missing',
  CloseBracketExpected: 'a closing bracket is missing',
  PropertyNameExpected: 'a key in double quotes is missing',
  ValueExpected: 'a value is missing',
  EndOfFileExpected: 'there is text after the end of the config',
  UnexpectedEndOfString: 'a string is not closed',
  UnexpectedEndOfComment: 'a comment is not closed',
  InvalidSymbol: 'a word without quotes',
};

function syntaxMessage(error: ParseError): string {
  const code = printParseErrorCode(error.error);
  return SYNTAX_MESSAGES[code] ?? `not valid JSON (${code})`;
}

function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `${before.length}:${before[before.length - 1].length + 1}`;
}

/** JSON lets the last of two equal keys win in silence, and `__proto__` would change an object instead of setting a key. */
function refuseBadKeys(node: Node, at: (offset: number) => string): void {
  const seen = new Set<string>();
  for (const child of node.children ?? []) {
    if (child.type === 'property') {
      const key = child.children![0];
      const name = String(key.value);
      if (seen.has(name))
        throw new ExitError(EXIT.usage, `${at(key.offset)}: duplicate key "${name}", allowed: each key once`);
      if (name === '__proto__') throw new ExitError(EXIT.usage, `${at(key.offset)}: unknown key "__proto__"`);
      seen.add(name);
    }
    refuseBadKeys(child, at);
  }
}

/** The node at a path, or the last one on the way to it. */
function deepest(root: Node, path: OptionPath): { node: Node; depth: number } {
  let node = root;
  for (const [depth, key] of path.entries()) {
    const next =
      typeof key === 'number'
        ? node.type === 'array'
          ? node.children?.[key]
          : undefined
        : node.type === 'object'
          ? node.children?.find((property) => property.children?.[0].value === key)?.children?.[1]
          : undefined;
    if (next === undefined) return { node, depth };
    node = next;
  }
  return { node, depth: path.length };
}
