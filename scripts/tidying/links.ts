// Links of pages: what they lead to is there, and a name in code marks that a link goes by is still in that file.
import { dirname, join, normalize } from 'node:path';
import type { TextFile, Violation } from './source.ts';

const LINK = /\[([^\]]+)\]\(([^)#\s]+)(?:#[^)]*)?\)/g;

export function checkLinks(files: readonly TextFile[]): Violation[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const folders = new Set([...texts.keys()].flatMap((path) => ancestors(path)));
  const pages = files.filter(({ path }) => path.endsWith('.md'));
  return pages.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) =>
      [...line.matchAll(LINK)].flatMap(([, label, to]) => {
        const rule = /^[a-z]+:/.test(to) ? null : problem(texts, folders, label, normalize(join(dirname(path), to)));
        return rule === null ? [] : [{ file: path, line: index + 1, rule }];
      }),
    ),
  );
}

function problem(
  texts: ReadonlyMap<string, string>,
  folders: ReadonlySet<string>,
  label: string,
  target: string,
): string | null {
  const text = texts.get(target);
  if (text === undefined)
    return folders.has(target.replace(/\/$/, '')) ? null : `a link to ${target}, which is not there`;
  const name = /^`(?:\w+\.)?(\w+)`$/.exec(label)?.[1];
  const there = name === undefined || !target.endsWith('.ts') || new RegExp(`\\b${name}\\b`).test(text);
  return there ? null : `${target} has no ${name}`;
}

function ancestors(path: string): string[] {
  const folder = dirname(path);
  return folder === '.' ? [] : [folder, ...ancestors(folder)];
}
