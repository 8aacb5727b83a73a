// Sizes: a file and a function that fit a reader's head. The list of exceptions may only shrink.
import ts from 'typescript';
import { countLines, lineAt, type SourceFile, type TextFile, type Violation, walk } from './source.ts';

const FILE_LINES = 300;
const FUNCTION_LINES = 70;
/** A protocol is read in one go, so its file has to be shorter still. */
const PROTOCOL_LINES = 199;

/** Path, or path and function name joined by a colon, to the reason why it may be longer. */
const EXCEPTIONS: ReadonlyMap<string, string> = new Map([]);

export function checkFileSizes(files: readonly TextFile[]): Violation[] {
  const measured = files.filter(({ path }) => /^(src|scripts|test)\//.test(path) && !path.endsWith('.md'));
  return measured.flatMap(({ path, text }) => {
    const limit = path.startsWith('src/protocols/') ? PROTOCOL_LINES : FILE_LINES;
    const lines = countLines(text);
    if (lines <= limit || EXCEPTIONS.has(path)) return [];
    return [{ file: path, line: limit + 1, rule: `${lines} lines, at most ${limit}` }];
  });
}

export function checkFunctionSizes(source: SourceFile): Violation[] {
  const violations: Violation[] = [];
  walk(source.tree, (node) => {
    if (!ts.isFunctionLike(node)) return;
    const line = lineAt(source, node.getStart(source.tree));
    const lines = lineAt(source, node.end) - line + 1;
    const name = node.name?.getText(source.tree) ?? 'a function';
    if (lines <= FUNCTION_LINES || EXCEPTIONS.has(`${source.path}:${name}`)) return;
    violations.push({ file: source.path, line, rule: `${name} has ${lines} lines, at most ${FUNCTION_LINES}` });
  });
  return violations;
}
