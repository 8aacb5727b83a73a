// The guest's root: a newc cpio archive with busybox, nbd-client, the hog, nbd_keep, the kernel's modules and the init script.
//
// It is written here and not by cpio(1), because a device node in an unpacked tree needs root and one in an archive
// does not.
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Kernel, readModule } from './kernel.ts';
import { librariesOf, toolPath } from './tools.ts';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

class Archive {
  private readonly parts: Buffer[] = [];
  private readonly folders = new Set<string>();
  private inode = 1;

  file(path: string, content: Buffer, mode: number): void {
    this.folder(dirname(path));
    this.member(path, S_IFREG | mode, content, 0, 0);
  }

  device(path: string, major: number, minor: number): void {
    this.folder(dirname(path));
    this.member(path, S_IFCHR | 0o600, Buffer.alloc(0), major, minor);
  }

  finish(): Buffer {
    this.member('TRAILER!!!', 0, Buffer.alloc(0), 0, 0);
    return Buffer.concat(this.parts);
  }

  private folder(path: string): void {
    if (path === '.' || path === '/' || this.folders.has(path)) return;
    this.folder(dirname(path));
    this.folders.add(path);
    this.member(path, S_IFDIR | 0o755, Buffer.alloc(0), 0, 0);
  }

  private member(path: string, mode: number, content: Buffer, major: number, minor: number): void {
    const name = Buffer.from(`${path.replace(/^\//, '')}\0`);
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [this.inode++, mode, 0, 0, 1, 0, content.length, 0, 0, major, minor, name.length, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    this.parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(content));
  }
}

function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}

interface Initramfs {
  readonly kernel: Kernel;
  /** The folder with `hog.c`, `nbd_keep.c`, `common` and the programs that can be process 1. */
  readonly programs: string;
  /** Which of these is. */
  readonly program: 'init' | 'memcg' | 'lowmem' | 'corpus';
  /** Where these two are compiled. */
  readonly work: string;
  /** Settings that the init script reads as shell variables. */
  readonly settings: Readonly<Record<string, string | number>>;
}

export function writeInitramfs(target: string, { kernel, programs, program, work, settings }: Initramfs): void {
  const archive = new Archive();
  archive.device('/dev/console', 5, 1);
  archive.file('/init', readFileSync(join(programs, program)), 0o755);
  archive.file('/common', readFileSync(join(programs, 'common')), 0o644);
  archive.file('/bin/busybox', readFileSync(toolPath('busybox')), 0o755);
  for (const name of ['hog', 'nbd_keep']) {
    const binary = join(work, name);
    execFileSync(toolPath('cc'), ['-O2', '-static', '-o', binary, join(programs, `${name}.c`)]);
    archive.file(`/bin/${name}`, readFileSync(binary), 0o755);
  }

  const nbdClient = toolPath('nbd-client');
  archive.file('/sbin/nbd-client', readFileSync(nbdClient), 0o755);
  for (const library of librariesOf(nbdClient)) archive.file(library, readFileSync(realpathSync(library)), 0o755);

  const names = kernel.modules.map((file) => basename(file).replace(/\.xz$/, ''));
  kernel.modules.forEach((file, i) => {
    archive.file(`/modules/${names[i]}`, readModule(file), 0o644);
  });
  archive.file('/modules/order', Buffer.from(`${names.join('\n')}\n`), 0o644);

  const lines = Object.entries(settings).map(([name, value]) => `${name}=${quoted(String(value))}\n`);
  archive.file('/etc/vm.conf', Buffer.from(lines.join('')), 0o644);
  writeFileSync(target, archive.finish());
}

/** A word that the shell takes as it is. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
