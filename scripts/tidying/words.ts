// Words and constructs that are kept out of the source. Strings are data and may hold anything; comments are read too,
// where a rule is about comments.
import ts from 'typescript';
import { lineAt, type SourceFile, type Violation, walk } from './source.ts';

interface Word {
  readonly pattern: RegExp;
  readonly rule: string;
  readonly inComments: boolean;
  readonly applies: (path: string) => boolean;
}

/** Where the clock on the wall is not a measure of time. */
const WALL_CLOCK: ReadonlyMap<string, string> = new Map([
  ['test/zswap/stress.test.ts', 'draws the seed of the run, which a failure prints'],
]);
/** Where no seed is wanted, or where the seed itself is drawn. */
const UNSEEDED: ReadonlyMap<string, string> = new Map([
  ['scripts/guest/options.ts', 'draws the seed of the load, which the run prints'],
]);
/** The façade, through which every step on shared memory goes so that it can be a scheduling point. */
const FACADE = 'src/shm/sync.ts';
/** What commands print through: Node's stream loses the end of a text that a disk has no room for, and says nothing. */
const PRINT = 'src/cli/print.ts';

const WORDS: readonly Word[] = [
  {
    pattern: /\b(?:TODO|FIXME|XXX)\b/g,
    rule: 'finish it, or say in a sentence what is so',
    inComments: true,
    applies: () => true,
  },
  {
    pattern: /\bMath\.random\b/g,
    rule: 'a run has to be repeatable: take a seeded generator',
    inComments: false,
    applies: (path) => !UNSEEDED.has(path),
  },
  {
    pattern: /\bDate\.now\b/g,
    rule: 'this clock is set back now and then: take performance.now()',
    inComments: false,
    applies: (path) => !WALL_CLOCK.has(path),
  },
  {
    pattern: /\bAtomics\b/g,
    rule: `only ${FACADE} names Atomics`,
    inComments: false,
    applies: (path) => path.startsWith('src/') && path !== FACADE,
  },
  {
    pattern: /\bprocess\.stdout\b/g,
    rule: `a command prints through ${PRINT}, which fails where it can't`,
    inComments: false,
    applies: (path) => path.startsWith('src/cli/') && path !== PRINT,
  },
];

/** The text with strings, and on request comments, blanked out; every position and line stays where it was. */
function blankOut(source: SourceFile, comments: boolean): string {
  const { tree, text } = source;
  const spans: [number, number][] = [];
  walk(tree, (node) => {
    const isTemplate = ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (ts.isStringLiteralLike(node) || isTemplate || ts.isRegularExpressionLiteral(node)) {
      spans.push([node.getStart(tree), node.end]);
    }
    if (!comments) return;
    const leading = ts.getLeadingCommentRanges(text, node.pos) ?? [];
    const trailing = ts.getTrailingCommentRanges(text, node.end) ?? [];
    for (const { pos, end } of [...leading, ...trailing]) spans.push([pos, end]);
  });
  const characters = text.split('');
  for (const [start, end] of spans) {
    for (let i = start; i < end; i++) if (characters[i] !== '\n') characters[i] = ' ';
  }
  return characters.join('');
}

export function checkWords(source: SourceFile): Violation[] {
  const code = blankOut(source, true);
  const withComments = blankOut(source, false);
  return WORDS.filter((word) => word.applies(source.path)).flatMap(({ pattern, rule, inComments }) =>
    [...(inComments ? withComments : code).matchAll(pattern)].map((match) => ({
      file: source.path,
      line: lineAt(source, match.index),
      rule: `${match[0]}: ${rule}`,
    })),
  );
}

/** An error that is caught has to be handled, or the block has to do what follows from it. */
export function checkEmptyCatches(source: SourceFile): Violation[] {
  const violations: Violation[] = [];
  const report = (node: ts.Node): void => {
    violations.push({ file: source.path, line: lineAt(source, node.getStart(source.tree)), rule: 'empty catch' });
  };
  walk(source.tree, (node) => {
    if (ts.isCatchClause(node) && node.block.statements.length === 0) report(node);
    if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return;
    const handler = node.arguments[0];
    const isHandler = handler !== undefined && (ts.isArrowFunction(handler) || ts.isFunctionExpression(handler));
    if (node.expression.name.text !== 'catch' || !isHandler) return;
    if (ts.isBlock(handler.body) && handler.body.statements.length === 0) report(handler);
  });
  return violations;
}

/** Tests say what they are about in their names. */
export function checkHeader(source: SourceFile): Violation[] {
  if (source.path.startsWith('test/') || /^(?:#!.*\n)?\/[/*]/.test(source.text)) return [];
  return [{ file: source.path, line: 1, rule: 'starts without a comment that says what the file is' }];
}
