// The tools that a guest run needs, and how to get them: from apt-get where that is allowed, else a reason to skip.
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** This machine cannot run the guest; the message says why. */
export class Skip extends Error {}

const PACKAGES = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-io': 'qemu-utils',
  'nbd-client': 'nbd-client',
  busybox: 'busybox-static',
  cc: 'gcc libc6-dev',
  xz: 'xz-utils',
  nbdkit: 'nbdkit',
  'mkfs.ext4': 'e2fsprogs',
} as const;

type Tool = keyof typeof PACKAGES;

const BASE: readonly Tool[] = ['qemu-system-x86_64', 'nbd-client', 'busybox', 'cc', 'xz'];

/** The path of a tool. Users' PATHs often leave out sbin, where nbd-client lives. */
export function find(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

export function toolPath(name: Tool): string {
  const path = find(name);
  if (path === undefined) throw new Skip(`${name} (Debian package ${PACKAGES[name]}) is missing`);
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // accessSync answers no other way.
  }
}

/** A dynamic busybox would find no libraries in the guest: only the static package's one will do. */
function isUsable(tool: Tool): boolean {
  const path = find(tool);
  if (path === undefined) return false;
  if (tool === 'cc') return existsSync('/usr/lib/x86_64-linux-gnu/libc.a') || existsSync('/usr/lib/libc.a');
  return tool !== 'busybox' || librariesOf(path).length === 0;
}

/** The shared libraries, and the loader, that a program needs. */
export function librariesOf(program: string): string[] {
  let listing: string;
  try {
    listing = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return []; // ldd fails on a static program.
  }
  return [...listing.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]);
}

export function ensureTools(extra: readonly Tool[]): void {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Skip(`the guest is an x86-64 Debian, started on Linux; this is ${process.platform} ${process.arch}`);
  }
  const missing = [...BASE, ...extra].filter((tool) => !isUsable(tool));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap((tool) => PACKAGES[tool].split(' ')))];
  const wanted = `${missing.join(', ')} missing (packages: ${packages.join(' ')})`;
  if (find('apt-get') === undefined) throw new Skip(`${wanted}; this is not a Debian, so install them yourself`);
  if (process.getuid?.() !== 0) throw new Skip(`${wanted}; not root, so install them yourself`);

  process.stdout.write(`vm: installing ${packages.join(' ')}\n`);
  install(packages);
  const still = missing.filter((tool) => !isUsable(tool));
  if (still.length > 0) throw new Skip(`${still.join(', ')} still missing after apt-get install`);
}

function install(packages: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300'];
  try {
    execFileSync('apt-get', [...options, 'update'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync('apt-get', [...options, 'install', '--no-install-recommends', ...packages], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } catch (error) {
    throw new Skip(`apt-get could not install ${packages.join(' ')}: ${(error as Error).message}`);
  }
}
