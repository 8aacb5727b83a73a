/**
 * Our server without the explorer's scheduling points: what they cost in service is the difference between this row and the
 * one that is served. It is a copy of what is compiled, in which the façade's branches on its hook are taken out, and with
 * them every numbered step.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startOurs } from './ours.ts';
import type { ServerKind, StartContext } from './server.ts';

/** Folders of dist that a server does not load. */
const NOT_SERVED: ReadonlySet<string> = new Set(['scripts', 'test', 'sim', 'mutants']);

const ONE_LINE = /^ *if \(hook !== null\)\n? *[^\n{]*;\n/gm;
const BLOCK = /^( *)if \(hook !== null\) \{\n[\s\S]*?\n\1\}\n/gm;
const STEP_CALL = /^ *sync\.(step|consult)\([^\n]*\);\n/gm;

/** Throws when nothing was found: then the façade looks different by now, and the comparison would compare nothing. */
function without(text: string, pattern: RegExp, where: string): string {
  const rest = text.replace(pattern, '');
  if (rest === text) throw new Error(`${where} has no scheduling points to take out`);
  return rest;
}

/** Returns the main module of the copy. */
function copyWithoutPoints({ root, folder }: StartContext): string {
  const copy = join(folder, 'pointless');
  const dist = join(copy, 'dist');
  const served = (path: string): boolean => !NOT_SERVED.has(path.slice(join(root, 'dist/').length));
  cpSync(join(root, 'dist'), dist, { recursive: true, filter: served });
  for (const part of ['package.json', 'config']) cpSync(join(root, part), join(copy, part), { recursive: true });
  const facade = join(dist, 'shm/sync.js');
  const text = without(without(readFileSync(facade, 'utf8'), BLOCK, facade), ONE_LINE, facade);
  if (/\bhook[.?]/.test(text)) throw new Error(`${facade} still asks its hook`);
  writeFileSync(facade, text);
  const protocols = join(dist, 'protocols');
  const files = readdirSync(protocols).filter((name) => name.endsWith('.js'));
  const withSteps = files.filter((name) =>
    /\bsync\.(step|consult)\(/.test(readFileSync(join(protocols, name), 'utf8')),
  );
  for (const path of withSteps.map((name) => join(protocols, name))) {
    writeFileSync(path, without(readFileSync(path, 'utf8'), STEP_CALL, path));
  }
  return join(dist, 'main.js');
}

function row(name: string, title: string, main: (context: StartContext) => string): ServerKind {
  return {
    name,
    title,
    async unavailable() {
      return undefined;
    },
    start: (context) =>
      startOurs(context, { command: [process.execPath, main(context), 'serve'], poolBytes: context.bytes * 1.25 }),
  };
}

/** Both are started alike. */
export const POINTS: readonly ServerKind[] = [
  row('points', 'as served', ({ root }) => join(root, 'dist/main.js')),
  row('pointless', 'no scheduling points', copyWithoutPoints),
];
