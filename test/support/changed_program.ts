/**
 * The served program with one line of what is compiled changed: links to all that is as it is, and one file of its own. It lies
 * inside the repository, so that packages are found.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';

const DIST = join(REPOSITORY, 'dist');
/** What a program looks for beside dist/. */
const BESIDE = ['package.json', 'config'];
/** What it does without: the joined modules are those without the change. */
const OTHERS: readonly string[] = ['mutants', 'test', 'bin'];
/** A module is known by the path of the link, and not by what that leads to. */
const ENVIRONMENT = { NODE_OPTIONS: '--preserve-symlinks --preserve-symlinks-main' };

export interface Change {
  /** Below dist/. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

let made = 0;

/** What to start, and in which environment. Gone with the test. */
export function changedProgram(
  t: Pick<Test, 'teardown'>,
  changes: readonly Change[],
): { program: string; env: NodeJS.ProcessEnv } {
  const root = join(DIST, 'mutants', `${process.pid}-served-${made++}`);
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const copy = join(root, 'dist');
  mkdirSync(copy, { recursive: true });
  for (const name of BESIDE) symlinkSync(join(REPOSITORY, name), join(root, name));
  for (const name of readdirSync(DIST)) if (!OTHERS.includes(name)) symlinkSync(join(DIST, name), join(copy, name));
  for (const { file, from, to } of changes) {
    own(copy, file);
    const text = readFileSync(join(copy, file), 'utf8');
    if (!text.includes(from)) throw new Error(`dist/${file} has no longer: ${from}`);
    writeFileSync(join(copy, file), text.replaceAll(from, to));
  }
  return { program: join(copy, 'main.js'), env: ENVIRONMENT };
}

/** Gives the copy a file of its own, in a folder of its own. */
function own(copy: string, file: string): void {
  const [folder, name] = file.split('/');
  const into = join(copy, folder);
  if (!existsSync(join(into, '.own'))) {
    rmSync(into);
    mkdirSync(into);
    for (const one of readdirSync(join(DIST, folder))) symlinkSync(join(DIST, folder, one), join(into, one));
    writeFileSync(join(into, '.own'), '');
  }
  const text = readFileSync(join(into, name));
  rmSync(join(into, name));
  writeFileSync(join(into, name), text);
}
