/**
 * Packs a package of ours and installs the tarball into an empty folder, as somebody who has nothing else would.
 *
 * Our own dependencies come from npm's cache or its registry. Where neither can be had, the tarball is unpacked and the
 * dependencies are linked from this checkout; `how` says what was done.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { REPOSITORY } from '#src/config/fields.js';
import { type Ended, runAt } from './run_process.ts';
import { tempFolder } from './tmp.ts';

export interface Packed {
  readonly tarball: string;
  /** Paths in the package, without those of a bundled one. */
  readonly files: readonly string[];
}

export interface Installed {
  /** The folder that was empty. */
  readonly folder: string;
  /** What was done, in words. */
  readonly how: string;
}

const MODULES = resolve(REPOSITORY, 'node_modules');
/** The only dependency that is compiled where it is installed. */
const COMPILED = 'zstd-napi';
/** One try, and no longer than this: without a network the answer shall come before the test's time is over. */
const NETWORK = ['--prefer-offline', '--fetch-retries=0', '--fetch-timeout=20000'];

async function npm(folder: string, ...args: string[]): Promise<Ended> {
  return runAt(folder, 'npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    npm_config_build_from_source: 'true',
  });
}

/** `folder` is relative to the checkout. What is packed is what was built: the script that builds anew is left out. */
export async function pack(t: Test, folder: string): Promise<Packed> {
  const to = tempFolder(t);
  const ended = await npm(resolve(REPOSITORY, folder), 'pack', '--ignore-scripts', '--json', '--pack-destination', to);
  if (ended.code !== 0) throw new Error(`npm pack: ${ended.stderr}`);
  const [{ filename, files }] = JSON.parse(ended.stdout) as [{ filename: string; files: { path: string }[] }];
  return { tarball: join(to, filename), files: files.map(({ path }) => path) };
}

/** `scripts`: also what compiles the native dependency, which takes a minute; otherwise that one is linked from here. */
export async function install(t: Test, tarball: string, name: string, scripts: boolean): Promise<Installed> {
  const folder = tempFolder(t);
  const ended = await npm(folder, 'install', tarball, ...NETWORK, ...(scripts ? [] : ['--ignore-scripts']));
  const compiled = join(folder, 'node_modules', COMPILED);
  if (ended.code === 0) {
    if (scripts || !existsSync(compiled)) return { folder, how: 'npm install' };
    rmSync(compiled, { recursive: true });
    symlinkSync(join(MODULES, COMPILED), compiled);
    return { folder, how: `npm install, then ${COMPILED} linked from this checkout, where it is compiled` };
  }
  const into = join(folder, 'node_modules', name);
  rmSync(join(folder, 'node_modules'), { recursive: true, force: true });
  mkdirSync(into, { recursive: true });
  const unpacked = await runAt(folder, 'tar', ['-xzf', tarball, '-C', into, '--strip-components=1']);
  if (unpacked.code !== 0) throw new Error(`tar: ${unpacked.stderr}`);
  const { default: own } = await import(join(into, 'package.json'), { with: { type: 'json' } });
  for (const dependency of Object.keys(own.dependencies ?? {})) {
    if (existsSync(join(into, 'node_modules', dependency))) continue;
    symlinkSync(join(MODULES, dependency), join(folder, 'node_modules', dependency));
  }
  const why = ended.stderr.split('\n').find((line) => line.includes('code')) ?? 'no reason given';
  return { folder, how: `unpacked, all dependencies linked from this checkout, because npm install said: ${why}` };
}

/**
 * What of the sources in a folder is not in a package, compiled. The other way round says nothing here: compiled files
 * outlive their sources until the script that is left out removes them.
 */
export function uncompiled(files: readonly string[], folder: string): string[] {
  const sources = readdirSync(resolve(REPOSITORY, folder), { recursive: true, encoding: 'utf8' });
  return sources
    .filter((path) => path.endsWith('.ts') && !/(^|\/)(dist|nbd|node_modules)\//.test(path))
    .filter((path) => !files.includes(`dist/${path.replace(/\.ts$/, '.js')}`));
}
