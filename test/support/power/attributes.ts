/** The extended attributes of files that are ours to change. */
import { closeSync, openSync } from 'node:fs';
import { getAttribute, listAttributes, removeAttribute, setAttribute } from '#src/os/syscalls.js';

const PREFIX = 'user.zswapd';
const VALUE_MAX = 4096;

function opened<T>(path: string, work: (fd: number) => T): T {
  const fd = openSync(path, 'r+');
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

function named(fd: number): string[] {
  return listAttributes(fd).filter((name) => name.startsWith(PREFIX));
}

export function readAttributes(path: string): Map<string, Buffer> {
  return opened(path, (fd) => {
    const read = (name: string): Buffer => {
      const into = Buffer.alloc(VALUE_MAX);
      return into.subarray(0, Math.max(0, getAttribute(fd, name, into)));
    };
    return new Map(named(fd).map((name) => [name, read(name)]));
  });
}

/** Those and no others. */
export function writeAttributes(path: string, marks: ReadonlyMap<string, Buffer>): void {
  opened(path, (fd) => {
    for (const name of named(fd)) if (!marks.has(name)) check(removeAttribute(fd, name), name);
    for (const [name, value] of marks) check(setAttribute(fd, name, value), name);
  });
}

function check(code: number, name: string): void {
  if (code < 0) throw new Error(`the attribute ${name} can't be changed (${code})`);
}
