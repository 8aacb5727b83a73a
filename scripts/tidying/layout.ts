// The arrows of the layout: cli → server → control → zswap → protocols, image → pool → shm; the explorer beside the server,
// config, faults and os beside them all, and node-nbd-server and the agent, which know none of them.
// Types count as well: a file that cannot be read without another one depends on it.
import { importsOf, resolveImport, type SourceFile, type Violation } from './source.ts';

/** What the files of a folder may import, besides themselves and packages. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'src/nbd': [],
  'src/shm': [],
  'src/os': [],
  // It is copied into guests as it is.
  'src/agent': [],
  'src/pool': ['src/shm', 'src/os'],
  'src/faults': ['src/shm', 'src/os'],
  'src/image': ['src/faults', 'src/pool', 'src/shm', 'src/os'],
  'src/protocols': ['src/pool', 'src/shm'],
  'src/zswap': ['src/faults', 'src/protocols', 'src/image', 'src/pool', 'src/shm', 'src/os', 'src/nbd'],
  'src/config': ['src/faults', 'src/protocols', 'src/pool', 'src/os'],
  'src/explore': ['src/zswap', 'src/protocols', 'src/image', 'src/pool', 'src/shm', 'src/os', 'src/nbd'],
  'src/soak': ['src/config', 'src/os', 'src/nbd'],
  'src/control': ['src/config', 'src/faults', 'src/zswap', 'src/pool', 'src/shm', 'src/os'],
  'src/server': [
    ...['src/control', 'src/config', 'src/zswap', 'src/protocols', 'src/image', 'src/pool', 'src/shm', 'src/os'],
    ...['src/nbd', 'src/faults'],
  ],
  'src/cli': [
    ...['src/server', 'src/control', 'src/config', 'src/explore', 'src/soak', 'src/image', 'src/protocols', 'src/os'],
    'src/agent',
  ],
  src: ['src/cli', 'src/config'],
  scripts: ['src'],
  test: ['src', 'scripts'],
};

/** The longest entry of ARROWS that holds the path; src itself holds only the files right inside it. */
function layerOf(path: string): string {
  const [top, folder, ...rest] = path.split('/');
  return top === 'src' && rest.length > 0 ? `${top}/${folder}` : top;
}

function isAllowed(from: string, to: string): boolean {
  const mayImport = ARROWS[from];
  // Scripts and tests look at all of src.
  if (from === 'scripts' || from === 'test') return from === to || mayImport.includes(to.split('/')[0]);
  return from === to || (mayImport?.includes(to) ?? false);
}

export function checkArrows(source: SourceFile): Violation[] {
  const from = layerOf(source.path);
  if (!(from in ARROWS)) {
    return [{ file: source.path, line: 1, rule: `${from} is no folder of the layout (scripts/tidying/layout.ts)` }];
  }
  return importsOf(source).flatMap(({ specifier, line }) => {
    const report = (rule: string): Violation[] => [{ file: source.path, line, rule }];
    // Its examples name it as its users do.
    if (source.path.startsWith('src/nbd/examples/') && specifier === 'node-nbd-server') return [];
    if (from === 'src/nbd' && !specifier.startsWith('node:') && !/^\.\.?\//.test(specifier)) {
      return report(`node-nbd-server imports ${specifier}; it stands alone`);
    }
    const target = resolveImport(source.path, specifier);
    if (target === undefined) return [];
    const to = layerOf(target);
    if (from !== to && to === 'src/nbd' && specifier !== 'node-nbd-server') {
      return report(`${specifier}: it is the package node-nbd-server`);
    }
    return isAllowed(from, to) ? [] : report(`${from} imports ${to}; the arrows point the other way`);
  });
}

/** One violation for each import that closes a cycle. */
export function checkCycles(sources: readonly SourceFile[]): Violation[] {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const violations: Violation[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (source: SourceFile): void => {
    path.push(source.path);
    for (const { specifier, line } of importsOf(source)) {
      const target = byPath.get(resolveImport(source.path, specifier) ?? '');
      if (target === undefined) continue;
      const start = path.indexOf(target.path);
      if (start >= 0) {
        const cycle = [...path.slice(start), target.path].join(' → ');
        violations.push({ file: source.path, line, rule: `import cycle: ${cycle}` });
      } else if (!done.has(target.path)) {
        visit(target);
      }
    }
    path.pop();
    done.add(source.path);
  };
  for (const source of sources) if (!done.has(source.path)) visit(source);
  return violations;
}
