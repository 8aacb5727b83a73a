// Dead files and dead exports: what no other file of the repository uses is not offered to it. The package's index offers
// what it does to everybody.
import ts from 'typescript';
import { importsOf, lineAt, resolveImport, type SourceFile, type Violation, walk } from './source.ts';

/** What is started by itself: by argv, as a thread, or as a process. */
const ENTRIES: readonly string[] = [
  'src/main.ts',
  'src/joined.ts',
  'src/nbd/index.ts',
  'src/agent/start.ts',
  'src/config/docs.ts',
  'src/image/loop_asker.ts',
  'src/server/worker.ts',
  'src/explore/thread.ts',
  'src/explore/matrix_process.ts',
  'scripts/tidy.ts',
];

const isEntry = (path: string): boolean =>
  ENTRIES.includes(path) ||
  path === 'src/nbd/device.ts' ||
  path.startsWith('src/nbd/examples/') ||
  /^scripts\/\w+\/main\.ts$/.test(path) ||
  path.startsWith('test/');

export function checkDead(sources: readonly SourceFile[]): Violation[] {
  const used = usesOf(sources);
  return sources
    .filter(({ path }) => !isEntry(path))
    .flatMap((source) => {
      const names = used.get(source.path);
      if (names === undefined) return [{ file: source.path, line: 1, rule: 'no file imports it' }];
      if (names.has('*')) return [];
      return exportsOf(source).flatMap(({ name, line }) =>
        names.has(name) ? [] : [{ file: source.path, line, rule: `${name} is exported, and no other file uses it` }],
      );
    });
}

/** What was compiled before its source was deleted still is there, so the compiler may not notice. */
export function checkMissing(sources: readonly SourceFile[]): Violation[] {
  const paths = new Set(sources.map(({ path }) => path));
  return sources.flatMap((source) =>
    importsOf(source).flatMap(({ specifier, line }) => {
      const target = resolveImport(source.path, specifier);
      if (target === undefined || !target.endsWith('.ts') || paths.has(target)) return [];
      return [{ file: source.path, line, rule: `imports ${target}, which is not there` }];
    }),
  );
}

interface Export {
  readonly name: string;
  readonly line: number;
}

function exportsOf(source: SourceFile): Export[] {
  const found: Export[] = [];
  const add = (name: ts.Node | undefined): void => {
    if (name !== undefined)
      found.push({ name: name.getText(source.tree), line: lineAt(source, name.getStart(source.tree)) });
  };
  const addAll = (name: ts.BindingName): void => {
    if (ts.isIdentifier(name)) add(name);
    else for (const element of name.elements) if (ts.isBindingElement(element)) addAll(element.name);
  };
  for (const node of source.tree.statements) {
    if (!ts.canHaveModifiers(node) || !ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
      continue;
    if (ts.isVariableStatement(node)) for (const { name } of node.declarationList.declarations) addAll(name);
    else add((node as ts.Statement & { name?: ts.Node }).name);
  }
  return found;
}

/** By file: the names that others use of it, or '*' where that is everything or can't be told. */
function usesOf(sources: readonly SourceFile[]): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>();
  for (const source of sources) {
    const mark = (specifier: string, name: string): void => {
      const target = resolveImport(source.path, specifier);
      if (target === undefined) return;
      const names = used.get(target) ?? new Set();
      used.set(target, names.add(name));
    };
    for (const { specifier } of importsOf(source)) mark(specifier, '');
    walk(source.tree, (node) => markUses(source, node, mark));
  }
  return used;
}

function markUses(source: SourceFile, node: ts.Node, mark: (specifier: string, name: string) => void): void {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    const { text } = node.moduleSpecifier;
    const bindings = node.importClause?.namedBindings;
    if (bindings === undefined) return;
    if (ts.isNamedImports(bindings))
      for (const { name, propertyName } of bindings.elements) mark(text, (propertyName ?? name).text);
    else for (const name of membersOf(source, bindings.name.text)) mark(text, name);
  } else if (
    ts.isExportDeclaration(node) &&
    node.moduleSpecifier !== undefined &&
    ts.isStringLiteral(node.moduleSpecifier)
  ) {
    const { text } = node.moduleSpecifier;
    const clause = node.exportClause;
    if (clause === undefined || ts.isNamespaceExport(clause)) mark(text, '*');
    else for (const { name, propertyName } of clause.elements) mark(text, (propertyName ?? name).text);
  } else if (
    ts.isImportTypeNode(node) &&
    ts.isLiteralTypeNode(node.argument) &&
    ts.isStringLiteral(node.argument.literal)
  ) {
    mark(node.argument.literal.text, '*');
  } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [specifier] = node.arguments;
    if (specifier !== undefined && ts.isStringLiteral(specifier)) mark(specifier.text, '*');
  }
}

/** Names that are taken of a namespace import. */
function membersOf(source: SourceFile, namespace: string): string[] {
  const names: string[] = [];
  walk(source.tree, (node) => {
    if (ts.isPropertyAccessExpression(node) && node.expression.getText(source.tree) === namespace)
      names.push(node.name.text);
    else if (ts.isQualifiedName(node) && node.left.getText(source.tree) === namespace) names.push(node.right.text);
  });
  return names;
}
