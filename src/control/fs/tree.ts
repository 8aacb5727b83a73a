/**
 * Files that are made when they are read, and what can be done with them: the five verbs of `zswapd ctl` and of /v1/fs.
 *
 *   ls     names of a folder, or the path of a file        get, set     a file's text
 *   mkdir, rmdir     where a folder says how
 *
 * A file is an entry of a table: `table({ name: { read, write }, ... })`. Whether it has `read` and `write` is its mode, and
 * all that its mode is: a file that says it can be written really changes something. Texts are without the newline at their end.
 */
import { FsError } from './errors.ts';
import { escapeName } from './escapes.ts';
import { checkValue, type Path, parsePath } from './path.ts';

export interface File {
  readonly read?: () => string | Promise<string>;
  /** Throws an FsError for a text that it does not take. `gone`: whoever writes does not wait for it any more. */
  readonly write?: (text: string, gone: AbortSignal) => void | Promise<void>;
}

export interface Folder {
  /** What is in it, by name. */
  parts(): Iterable<[name: string, node: File | Folder]>;
  at(name: string): File | Folder | undefined;
  /** Both throw an FsError where they can't. A folder without them has the parts that it has. */
  mkdir?(name: string): void;
  /** A folder that is there, and that whoever has made it might take away: it stays. */
  keep?(name: string): void;
  rmdir?(name: string): void;
}

const isFolder = (node: File | Folder): node is Folder => 'parts' in node;

/** A folder whose parts are known beforehand. */
export function table(parts: Readonly<Record<string, File | Folder>>): Folder {
  const map = new Map(Object.entries(parts));
  return { parts: () => map, at: (name) => map.get(name) };
}

/** Of a table of files that are read of one of several things, those of `subject`. */
export type FilesOf<S> = Readonly<Record<string, FileOf<S>>>;
interface FileOf<S> {
  read?(subject: S): string | Promise<string>;
  write?(subject: S, text: string, gone: AbortSignal): void | Promise<void>;
}

export function filesOf<S>(files: FilesOf<S>, subject: S): Record<string, File> {
  const bind = ({ read, write }: FileOf<S>): File => ({
    ...(read === undefined ? {} : { read: () => read(subject) }),
    ...(write === undefined ? {} : { write: (text: string, gone: AbortSignal) => write(subject, text, gone) }),
  });
  return Object.fromEntries(Object.entries(files).map(([name, file]) => [name, bind(file)]));
}

/** What was done, after it was. */
export interface FileChange {
  readonly verb: 'set' | 'mkdir' | 'rmdir';
  readonly path: string;
  readonly value?: string;
}

export class FileTree {
  private readonly root: Folder;
  private readonly changed: (change: FileChange) => void;

  constructor(root: Folder, changed: (change: FileChange) => void = () => undefined) {
    this.root = root;
    this.changed = changed;
  }

  /** A name in each line, sorted, or with its mode before it. */
  ls(path: string, long: boolean): string {
    const parsed = parsePath(path);
    const node = this.find(parsed);
    if (!isFolder(node)) return `${long ? `${mode(node)} ` : ''}${canonical(path)}\n`;
    const parts = [...node.parts()].sort(([a], [b]) => (a < b ? -1 : 1));
    return parts.map(([name, part]) => `${long ? `${mode(part)} ` : ''}${escapeName(name)}\n`).join('');
  }

  async get(path: string): Promise<string> {
    const { read } = this.file(path);
    if (read === undefined) throw new FsError('EACCES', 'this file can only be written');
    return `${await read()}\n`;
  }

  async set(path: string, text: string, gone: AbortSignal = new AbortController().signal): Promise<void> {
    const { write } = this.file(path);
    if (write === undefined) throw new FsError('EACCES', 'this file can only be read');
    checkValue(text);
    await write(text, gone);
    this.changed({ verb: 'set', path: canonical(path), value: text.trim() });
  }

  /** `keeps`: one that is there is no mistake, and stays as if it had been made. */
  mkdir(path: string, keeps = false): void {
    const { parent, name } = this.parent(path, 'EEXIST');
    const found = parent.at(name);
    if (found !== undefined) {
      if (!keeps || !isFolder(found)) throw new FsError('EEXIST');
      parent.keep?.(name);
      return;
    }
    if (parent.mkdir === undefined) throw new FsError('EPERM', 'no folders can be made here');
    parent.mkdir(name);
    this.changed({ verb: 'mkdir', path: canonical(path) });
  }

  rmdir(path: string): void {
    const { parent, name } = this.parent(path, 'EBUSY');
    const node = parent.at(name);
    if (node === undefined) throw new FsError('ENOENT');
    if (!isFolder(node)) throw new FsError('ENOTDIR', 'is a file, not a folder');
    if (parent.rmdir === undefined) throw new FsError('EPERM', 'this folder can not be removed');
    parent.rmdir(name);
    this.changed({ verb: 'rmdir', path: canonical(path) });
  }

  private file(path: string): File {
    const node = this.find(parsePath(path));
    if (isFolder(node)) throw new FsError('EISDIR');
    return node;
  }

  private parent(path: string, rootIs: 'EEXIST' | 'EBUSY'): { parent: Folder; name: string } {
    const { names } = parsePath(path);
    const name = names.at(-1);
    if (name === undefined) throw new FsError(rootIs);
    return { parent: this.find({ names: names.slice(0, -1), folder: true }) as Folder, name };
  }

  private find({ names, folder }: Path): File | Folder {
    let node: File | Folder = this.root;
    for (const name of names) {
      if (!isFolder(node)) throw new FsError('ENOTDIR');
      const next: File | Folder | undefined = node.at(name);
      if (next === undefined) throw new FsError('ENOENT');
      node = next;
    }
    if (folder && !isFolder(node)) throw new FsError('ENOTDIR');
    return node;
  }
}

const canonical = (path: string): string => `/${parsePath(path).names.map(escapeName).join('/')}`;

/** As ls -l shows it. Whoever may use the control socket is the owner of all that it shows. */
function mode(node: File | Folder): string {
  if (isFolder(node)) return `dr${node.mkdir === undefined ? '-' : 'w'}xr-xr-x`;
  const r = node.read === undefined ? '-' : 'r';
  return `-${r}${node.write === undefined ? '-' : 'w'}-${`${r}--`.repeat(2)}`;
}
