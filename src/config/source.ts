// A config file: JSON with comments, and where in it each value stands.
// Invariant: every position is `file:line:column`, counted from 1, with the file named as the operator named it.
import { readFileSync, statSync } from 'node:fs';
import { createScanner, getNodeValue, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import type { OptionPath } from './option_path.ts';

/** A larger file is no config but a mistake, such as an image given for it. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Levels and values of a config at most. Whatever walks one recurses, and the largest that makes sense has 15,000: 4096 ranges of three. */
const MAX_DEPTH = 32;
const MAX_VALUES = 20_000;

/** Of jsonc-parser's SyntaxKind, which is not there at run time. */
const TOKEN = { openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, comma: 5, eof: 17 } as const;

export interface Source {
  /** The file's content as plain values; always an object. */
  value: Record<string, unknown>;
  /** `file:line:column` of the value at a path, or of the key there; and how much of the path the file has. */
  locate(path: OptionPath, what: 'key' | 'value'): { position: string; depth: number };
}

export function readSource(name: string): Source {
  return parseSource(name, readText(name, 'config'));
}

/** The text of a file that is no larger than one of these can be. */
export function readText(name: string, what: string): string {
  try {
    const stat = statSync(name);
    if (!stat.isFile()) throw new Error('not a regular file');
    if (stat.size > MAX_FILE_BYTES) throw new Error(`${stat.size} bytes, allowed: at most ${MAX_FILE_BYTES}`);
    // A byte order mark is no part of the JSON, and some editors write one.
    return readFileSync(name, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw new ExitError(EXIT.usage, `${name}: can't read the ${what}: ${errorText(error)}`, { cause: error });
  }
}

/** How a message names a place in a text. */
type At = (offset: number) => string;

/** Parses the text of a config, or of what else `what` says; throws with the position of the first mistake. */
export function parseSource(name: string, text: string, what = 'config'): Source {
  const lines = lineStarts(text);
  const at: At = (offset) => `${name}:${lineAndColumn(lines, offset)}`;
  const root = parse(text, at);
  if (root?.type !== 'object') {
    throw new ExitError(
      EXIT.usage,
      `${at(root?.offset ?? 0)}: the ${what} is not an object, allowed: { "${what === 'config' ? 'option' : 'key'}": value }`,
    );
  }
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

/** The value that a text stands for which is JSON as in a file; throws as for a file. */
export function parseValue(text: string, at: At): unknown {
  const root = parse(text, at);
  return root === undefined ? undefined : getNodeValue(root);
}

/** Reads JSON with comments, and refuses what neither a config nor a part of one may have. */
function parse(text: string, at: At): Node | undefined {
  const errors: ParseError[] = [];
  const large = tooLarge(text);
  if (large !== null) throw new ExitError(EXIT.usage, `${at(large.offset)}: ${large.message}`);
  const root = parseTree(text, errors, { allowTrailingComma: true });
  const first = errors[0];
  if (first !== undefined) {
    throw new ExitError(EXIT.usage, `${at(first.offset)}: ${syntaxMessage(first)}, allowed: JSON with comments`);
  }
  if (root !== undefined) refuseBadKeys(root, at);
  return root;
}

/** Where a JSON text goes beyond what a config can be, or null. Looks at the tokens only, so any text will do. */
function tooLarge(text: string): { offset: number; message: string } | null {
  const scanner = createScanner(text, true);
  let depth = 0;
  let values = 0;
  for (let token: number = scanner.scan(); token !== TOKEN.eof; token = scanner.scan()) {
    if (token === TOKEN.openBrace || token === TOKEN.openBracket) depth++;
    else if (token === TOKEN.closeBrace || token === TOKEN.closeBracket) depth--;
    else if (token !== TOKEN.comma) continue;
    // Each value but the first of its list or object comes after a comma.
    if (token === TOKEN.comma) values++;
    const offset = scanner.getTokenOffset();
    if (depth > MAX_DEPTH) return { offset, message: `is nested too deeply, allowed: ${MAX_DEPTH} levels` };
    if (values >= MAX_VALUES) return { offset, message: `has too many values, allowed: ${MAX_VALUES}` };
  }
  return null;
}

const SYNTAX_MESSAGES: Record<string, string> = {
  CommaExpected: 'a comma is missing',
  ColonExpected: 'a colon is missing',
  CloseBraceExpected: 'a closing brace is missing',
  CloseBracketExpected: 'a closing bracket is missing',
  PropertyNameExpected: 'a key in double quotes is missing',
  ValueExpected: 'a value is missing',
  EndOfFileExpected: 'there is text after the end',
  UnexpectedEndOfString: 'a string is not closed',
  UnexpectedEndOfComment: 'a comment is not closed',
  InvalidSymbol: 'a word without quotes',
};

function syntaxMessage(error: ParseError): string {
  const code = printParseErrorCode(error.error);
  return SYNTAX_MESSAGES[code] ?? `not valid JSON (${code})`;
}

/** The offset of each line. Made once: thousands of mistakes may each want to know their line. */
function lineStarts(text: string): number[] {
  const starts = [0];
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', end + 1)) starts.push(end + 1);
  return starts;
}

function lineAndColumn(starts: readonly number[], offset: number): string {
  let low = 0;
  for (let high = starts.length; high - low > 1; ) {
    const middle = (low + high) >>> 1;
    if (starts[middle] <= offset) low = middle;
    else high = middle;
  }
  return `${low + 1}:${offset - starts[low] + 1}`;
}

/** JSON lets the last of two equal keys win in silence, and `__proto__` would change an object instead of setting a key. */
function refuseBadKeys(node: Node, at: At): void {
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
