// The files that the rules look at: their text, their syntax tree, and where they are in the layout.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import ts from 'typescript';

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

export interface TextFile {
  /** Relative to the repository, with slashes. */
  readonly path: string;
  readonly text: string;
}

export interface SourceFile extends TextFile {
  readonly tree: ts.SourceFile;
}

/** Everything that is in the repository or could be added to it; git knows what it ignores. */
export function readRepository(root: string): TextFile[] {
  // The owner of a checkout and the user of a build machine may differ, and this only reads.
  const list = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const paths = execFileSync('git', list, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }).split('\0');
  return [...new Set(paths)]
    .filter((path) => path !== '' && existsSync(join(root, path)))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
}

/** Our own TypeScript files among them, parsed. */
export function parseSources(files: readonly TextFile[]): SourceFile[] {
  return files
    .filter(({ path }) => /^(src|scripts|test)\/.*\.ts$/.test(path))
    .map(({ path, text }) => parseSource(path, text));
}

export function parseSource(path: string, text: string): SourceFile {
  return { path, text, tree: ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS) };
}

export function lineAt(source: SourceFile, position: number): number {
  return source.tree.getLineAndCharacterOfPosition(position).line + 1;
}

export function countLines(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Import and export declarations, types included, and import() of a literal. */
export function importsOf(source: SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (literal: ts.Node | undefined): void => {
    if (literal === undefined || !ts.isStringLiteral(literal)) return;
    imports.push({ specifier: literal.text, line: lineAt(source, literal.getStart(source.tree)) });
  };
  walk(source.tree, (node) => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0]);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal);
  });
  return imports;
}

/** The file in the repository that an import names, or undefined for a package. */
export function resolveImport(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  if (specifier === 'node-nbd-server') return 'src/nbd/index.ts';
  const scripts = /^#src\/(scripts\/.*)\.js$/.exec(specifier);
  if (scripts !== null) return `${scripts[1]}.ts`;
  const own = /^#src\/(.*)\.js$/.exec(specifier);
  return own === null ? undefined : `src/${own[1]}.ts`;
}

export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}
