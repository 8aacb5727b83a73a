// Each rule of scripts/tidy.ts on a file that breaks it and on one that only looks like it.
import t from 'tap';
import { checkDead, checkMissing } from '#src/scripts/tidying/dead.js';
import { checkArrows, checkCycles } from '#src/scripts/tidying/layout.js';
import { checkLinks } from '#src/scripts/tidying/links.js';
import { checkFileSizes, checkFunctionSizes } from '#src/scripts/tidying/size.js';
import { parseSource, type Violation } from '#src/scripts/tidying/source.js';
import { checkTraces } from '#src/scripts/tidying/traces.js';
import { checkEmptyCatches, checkHeader, checkWords } from '#src/scripts/tidying/words.js';

const lines = (found: readonly Violation[]): number[] => found.map(({ line }) => line);

t.test('words', async (t) => {
  const text = "const a = 'TODO Date.now()';\n// TODO\n// as Date.now would\nDate.now();\nMath.random();\nAtomics;\n";
  const found = checkWords(parseSource('src/pool/a.ts', text));
  t.same(
    found.map(({ line, rule }) => `${line} ${rule.split(':')[0]}`),
    ['2 TODO', '5 Math.random', '4 Date.now', '6 Atomics'],
  );
  t.same(checkWords(parseSource('src/shm/sync.ts', 'Atomics.load(a, 0);')), []);
  t.same(lines(checkWords(parseSource('src/cli/a.ts', '\nprocess.stdout.write(a);'))), [2]);
  t.same(checkWords(parseSource('src/cli/print.ts', 'process.stdout.write(a);')), []);
});

t.test('empty catches', async (t) => {
  const text = 'try { a(); } catch {}\np.catch(() => {});\ntry { a(); } catch { b(); }\np.catch(() => undefined);\n';
  t.same(lines(checkEmptyCatches(parseSource('src/a.ts', text))), [1, 2]);
});

t.test('headers', async (t) => {
  t.same(lines(checkHeader(parseSource('src/a.ts', 'export {};\n'))), [1]);
  t.same(checkHeader(parseSource('src/a.ts', '// What it is.\nexport {};\n')), []);
});

t.test('arrows', async (t) => {
  const broken = (path: string, text: string): number => checkArrows(parseSource(path, text)).length;
  t.equal(broken('src/shm/a.ts', "import '../pool/b.ts';"), 1);
  t.equal(broken('src/pool/a.ts', "import '../shm/b.ts';"), 0);
  t.equal(broken('src/protocols/a.ts', "import type { X } from '../zswap/b.ts';"), 1);
  t.equal(broken('src/explore/world/a.ts', "import '../../zswap/b.ts';"), 0);
  t.equal(broken('src/nbd/a.ts', "import 'zod';"), 1);
  t.equal(broken('src/zswap/a.ts', "import 'node-nbd-server';"), 0);
  t.equal(broken('src/zswap/a.ts', "import '../nbd/wire.ts';"), 1);
  t.equal(broken('scripts/a.ts', "import '../test/b.ts';"), 1);
  t.equal(broken('src/unknown/a.ts', ''), 1);
});

t.test('cycles', async (t) => {
  const a = parseSource('src/a.ts', "\nimport './b.ts';");
  const b = parseSource('src/b.ts', "import './c.ts';");
  const c = parseSource('src/c.ts', "import type { A } from './a.ts';");
  t.match(checkCycles([a, b, c]), [
    { file: 'src/c.ts', line: 1, rule: /src\/a.ts → src\/b.ts → src\/c.ts → src\/a.ts$/ },
  ]);
  t.same(checkCycles([a, b]), []);
});

t.test('sizes', async (t) => {
  const body = 'x();\n'.repeat(69);
  t.equal(checkFunctionSizes(parseSource('src/a.ts', `function f() {\n${body}}`)).length, 1);
  t.equal(checkFunctionSizes(parseSource('src/a.ts', `function f() {${body}}`)).length, 0);
  t.equal(checkFileSizes([{ path: 'src/a.ts', text: 'x\n'.repeat(301) }]).length, 1);
  t.equal(checkFileSizes([{ path: 'src/a.ts', text: 'x\n'.repeat(300) }]).length, 0);
  t.equal(checkFileSizes([{ path: 'src/protocols/a.ts', text: 'x\n'.repeat(200) }]).length, 1);
});

t.test('traces', async (t) => {
  // Put together here, because the rule reads this file as well.
  const text = ['see /wor', 'k/main\nsrc/wor', 'k/main\nhttps://registry.exa', 'mple.org/x\niss', 'ue 12\n'].join('');
  t.same(lines(checkTraces({ path: 'a.md', text })), [1, 3, 4]);
});

t.test('dead files and dead exports', async (t) => {
  const used = parseSource(
    'src/pool/a.ts',
    '/** A. */\nexport const one = 1;\nexport function two() {}\nexport interface Three {}',
  );
  const rules = (importer: string): string[] =>
    checkDead([used, parseSource('src/main.ts', importer)]).map(({ rule }) => rule.replace(/ .*/, ''));
  t.same(rules(''), ['no'], 'nobody imports the file');
  t.same(rules("import { one } from './pool/a.ts';"), ['two', 'Three']);
  t.same(rules("import * as a from './pool/a.ts'; a.two(); let x: a.Three;"), ['one']);
  t.same(rules("export { one as uno, two, type Three } from './pool/a.ts';"), []);
  t.same(rules("export * from './pool/a.ts';"), []);
  t.same(rules("const a = await import('./pool/a.ts');"), [], 'what becomes of it is not known');
});

t.test('imports of what is not there', async (t) => {
  const rules = (text: string): number =>
    checkMissing([parseSource('src/a.ts', text), parseSource('src/b.ts', '')]).length;
  t.equal(rules("import './b.ts'; import 'node:fs'; import 'tap';"), 0);
  t.equal(rules("import { c } from '#src/c.js';"), 1);
});

t.test('links of pages', async (t) => {
  const page = (text: string): number =>
    checkLinks([
      { path: 'src/README.md', text },
      { path: 'src/a.ts', text: 'class A { go() {} }' },
    ]).length;
  t.equal(page('[a](a.ts) [x](https://example.org/x) [up](../src/a.ts#L1) [here](#here) [folder](../src/)'), 0);
  t.equal(page('[b](b.ts)'), 1);
  t.equal(page('[`A.go`](a.ts) [`A`](a.ts)'), 0);
  t.equal(page('[`A.stop`](a.ts)'), 1);
});
