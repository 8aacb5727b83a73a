/** A copy of what is compiled with one line changed, inside the repository so that packages are found. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Mutant } from '../protocols/mutants/mutant.ts';

/** Where what is compiled lies. */
export const DIST = new URL('../../', import.meta.url);
const PARTS = ['explore', 'image', 'os', 'pool', 'protocols', 'shm', 'zswap'];
const KEPT_THREADS = new URL('kept_threads.js', import.meta.url).href;
/** Each engine and each of its threads runs these anew. */
const ANEW = ['explore/engine.js', 'explore/thread.js'];

/** By module, who imports it; paths are below DIST. */
const importers = new Map<string, string[]>();

function modules(): string[] {
  return PARTS.flatMap((part) =>
    readdirSync(new URL(part, DIST), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.js'))
      .map((name) => `${part}/${name}`),
  );
}

function readImporters(): void {
  if (importers.size > 0) return;
  for (const path of modules()) {
    const text = readFileSync(new URL(path, DIST), 'utf8');
    for (const [, to] of text.matchAll(/["'](\.\.?\/[^"']*\.js)["']/g)) {
      const imported = new URL(to, new URL(path, DIST)).href.slice(DIST.href.length);
      importers.set(imported, [...(importers.get(imported) ?? []), path]);
    }
  }
}

/** Those and all that come to them by imports. */
function withImporters(paths: readonly string[]): Set<string> {
  const all = new Set(paths);
  for (const path of all) for (const importer of importers.get(path) ?? []) all.add(importer);
  return all;
}

/**
 * A module is known by the path that links lead to: what does not come to the changed line is a link and is loaded once for
 * all copies, what does is a file of its own.
 */
export function mutatedCopy({ file, from, to }: Mutant, number: number): URL {
  readImporters();
  const copy = new URL(`mutants/${process.pid}-${number}/`, DIST);
  const own = withImporters([file, ...ANEW]);
  for (const path of modules()) {
    const [original, place] = [new URL(path, DIST), new URL(path, copy)];
    mkdirSync(new URL('.', place), { recursive: true });
    if (!own.has(path)) {
      symlinkSync(fileURLToPath(original), place);
      continue;
    }
    let text = readFileSync(original, 'utf8');
    if (ANEW.includes(path)) text = text.replace("'node:worker_threads'", `'${KEPT_THREADS}'`);
    if (path === file) {
      if (!text.includes(from)) throw new Error(`${file} has no longer: ${from}`);
      text = text.replaceAll(from, to);
    }
    writeFileSync(place, text);
  }
  return copy;
}
