// The guest's kernel: Debian's cloud kernel, downloaded with apt-get and unpacked, never installed. Of bookworm that is a 6.1, of
// its backports a 6.12; those are fetched with package lists of our own, so that nothing is added to the machine's.
//
// Unpacked kernels stay in the user's cache folder, one folder for each package. A folder appears there by rename only,
// so what is there is complete, and two runs that download at once do not meet.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { find, Skip } from './tools.ts';

const META_PACKAGE = 'linux-image-cloud-amd64';

/** What the guest loads, by name; what these depend on comes with them. */
const WANTED = ['virtio_pci', 'virtio_blk', 'virtio_net', 'nbd', 'virtio_console'];

const BACKPORTS = 'bookworm-backports';

/** Folder of the cache, per choice of kernel. */
const FOLDERS = { stable: 'kernels', backports: 'kernels-backports' } as const;

export type KernelChoice = keyof typeof FOLDERS;

export interface Kernel {
  readonly name: string;
  readonly vmlinuz: string;
  /** Module files in the order in which they can be inserted. */
  readonly modules: readonly string[];
}

export function fetchKernel(choice: KernelChoice, log: (line: string) => void): Kernel {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'zswapd', FOLDERS[choice]);
  mkdirSync(cache, { recursive: true });
  const ready = readdirSync(cache).filter((name) => name.startsWith('linux-image-'));
  // Of several the newest; numeric collation orders 6.1.0-9 before 6.1.0-56.
  const newest = ready.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  if (newest !== undefined) return describe(join(cache, newest));
  log(`downloading the guest kernel (${choice})`);
  return describe(download(cache, choice));
}

function download(cache: string, choice: KernelChoice): string {
  for (const tool of ['apt-get', 'apt-cache', 'dpkg']) {
    if (find(tool) === undefined) throw new Skip(`no ${tool} here to download a Debian kernel with`);
  }
  const work = mkdtempSync(join(cache, '.download-'));
  try {
    const options = choice === 'stable' ? [] : backportsOptions(work);
    const image = imagePackage(options, choice === 'backports' || process.getuid?.() === 0);
    try {
      execFileSync('apt-get', ['-q', ...options, 'download', image], {
        cwd: work,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    } catch (error) {
      throw new Skip(`apt-get could not download ${image}: ${(error as Error).message}`);
    }
    const deb = readdirSync(work).find((name) => name.endsWith('.deb'));
    if (deb === undefined) throw new Skip(`apt-get download ${image} left no package`);
    const unpacked = join(work, 'unpacked');
    execFileSync('dpkg', ['-x', join(work, deb), unpacked]);
    const target = join(cache, basename(deb, '.deb'));
    if (!existsSync(target)) renameUnlessThere(unpacked, target);
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Makes apt look at the backports alone, with its state in our folder; the mirror and its key are those of the machine. */
function backportsOptions(work: string): string[] {
  const machine = '/etc/apt/sources.list.d/debian.sources';
  if (!existsSync(machine)) throw new Skip(`no ${machine} here that tells a mirror for ${BACKPORTS}`);
  const main = readFileSync(machine, 'utf8')
    .split(/\n\n+/)
    .find((stanza) => /^Suites:.*\bbookworm\b/m.test(stanza));
  if (main === undefined) throw new Skip(`${machine} has no bookworm, and so no mirror for ${BACKPORTS}`);
  const sources = join(work, 'backports.sources');
  writeFileSync(sources, `${main.replace(/^Suites:.*$/m, `Suites: ${BACKPORTS}`)}\n`);
  for (const folder of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(work, folder), { recursive: true });
  return [
    ...['-o', `Dir::Etc::sourcelist=${sources}`, '-o', 'Dir::Etc::sourceparts=-'],
    ...['-o', `Dir::State::lists=${join(work, 'lists')}`, '-o', `Dir::Cache=${join(work, 'cache')}`],
    // Its unprivileged user can't look into our folder.
    ...['-o', 'APT::Sandbox::User=root'],
  ];
}

function renameUnlessThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    // Another run was faster; its copy is as good.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}

/** The real package behind the meta package; where the package lists were never fetched they are first, if that is allowed. */
function imagePackage(options: readonly string[], mayUpdate: boolean): string {
  const depends = (): string | undefined => {
    try {
      const text = execFileSync('apt-cache', [...options, 'depends', META_PACKAGE], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      return /Depends: (linux-image-\d\S+)/.exec(text)?.[1];
    } catch {
      return undefined; // apt-cache fails on a package it does not know.
    }
  };
  const known = depends();
  if (known !== undefined) return known;
  if (mayUpdate) execFileSync('apt-get', ['-q', ...options, 'update'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const found = depends();
  if (found === undefined) throw new Skip(`apt knows no ${META_PACKAGE}: not a Debian, or no package lists`);
  return found;
}

function describe(folder: string): Kernel {
  const boot = join(folder, 'boot');
  const image = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'));
  // Debian moved modules below /usr with trixie.
  const base = [join(folder, 'lib/modules'), join(folder, 'usr/lib/modules')].find((path) => existsSync(path));
  if (image === undefined || base === undefined) throw new Error(`${folder} holds no kernel: remove it and run again`);
  const tree = join(base, image.slice('vmlinuz-'.length));
  return { name: basename(folder), vmlinuz: join(boot, image), modules: orderModules(tree) };
}

/** Reads each module's own list of what it needs: an unpacked package has no modules.dep yet. */
function orderModules(tree: string): string[] {
  const files = new Map<string, string>();
  for (const entry of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const match = /([^/]+)\.ko(\.xz)?$/.exec(entry);
    if (match !== null) files.set(moduleName(match[1]), join(tree, entry));
  }
  const builtin = new Set(
    [...readFileSync(join(tree, 'modules.builtin'), 'utf8').matchAll(/([^/\n]+)\.ko/g)].map((m) => moduleName(m[1])),
  );
  const ordered = new Set<string>();
  const add = (name: string): void => {
    if (builtin.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new Error(`the guest kernel has no module ${name}`);
    if (ordered.has(file)) return;
    for (const needed of dependenciesOf(file)) add(needed);
    ordered.add(file);
  };
  for (const name of WANTED) add(name);
  return [...ordered];
}

function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}

function dependenciesOf(file: string): string[] {
  const list = /\0depends=([^\0]*)\0/.exec(readModule(file).toString('latin1'))?.[1] ?? '';
  return list
    .split(',')
    .filter((name) => name !== '')
    .map(moduleName);
}

/** A module's ELF bytes: the guest's insmod knows no xz. */
export function readModule(file: string): Buffer {
  if (!file.endsWith('.xz')) return readFileSync(file);
  return execFileSync('xz', ['-dc', file], { maxBuffer: 64 << 20 });
}
