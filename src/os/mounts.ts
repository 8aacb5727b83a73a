/** What is mounted where this process can see it: proc(5), mountinfo. */
import { readFileSync } from 'node:fs';

export interface Mount {
  /** Of the file system: "8:1". */
  readonly device: string;
  /** What of the file system is mounted, and where. */
  readonly root: string;
  readonly point: string;
  readonly type: string;
  /** Of the file system, separated by commas, and as the kernel writes them (unescaped). */
  readonly options: string;
}

export function readMounts(): Mount[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** What a path lies in: the longest that it begins with, and of those at one place the last, which hides the others. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  const around = mounts.filter(({ point }) => path === point || path.startsWith(point === '/' ? point : `${point}/`));
  return around.reduce<Mount | undefined>(
    (best, mount) => (mount.point.length >= (best?.point.length ?? 0) ? mount : best),
    undefined,
  );
}

export function parseMounts(text: string): Mount[] {
  const lines = text.split('\n').filter((line) => line.includes(' - '));
  return lines.map((line) => {
    const [mount, fileSystem] = line.split(' - ');
    const [, , device, root, point] = mount.split(' ');
    const [type, , options = ''] = fileSystem.split(' ');
    return { device, root: unescaped(root), point: unescaped(point), type, options };
  });
}

/** The kernel writes blanks and backslashes of paths as three octal digits of a byte. */
export function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
