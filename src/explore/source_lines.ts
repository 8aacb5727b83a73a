/** From places in compiled files to lines of the source, through the source maps that the compiler left beside them. */
import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { basename } from 'node:path';

const maps = new Map<string, SourceMap | null>();

function mapOf(path: string): SourceMap | null {
  let map = maps.get(path);
  if (map === undefined) {
    map = existsSync(`${path}.map`) ? new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8'))) : null;
    maps.set(path, map);
  }
  return map;
}

/** `place`: path:line:column. Returns file:line of the source, or of the compiled file where there is no map. */
export function sourceLine(place: string): string {
  const match = /^(.*):(\d+):(\d+)$/.exec(place);
  if (match === null) return '';
  const [, path, line, column] = match;
  // Under node --enable-source-maps the stack names the source already.
  if (path.endsWith('.ts')) return `${path.slice(path.lastIndexOf('/src/') + 1)}:${line}`;
  const entry = mapOf(path)?.findEntry(Number(line) - 1, Number(column) - 1);
  if (entry === undefined || !('originalSource' in entry)) return `${basename(path)}:${line}`;
  return `${entry.originalSource.replace(/^(\.\.\/)+/, '')}:${entry.originalLine + 1}`;
}

/** Where the step stands: the first frame outside of the façade, the baton and this file. */
export function place(): string {
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  const frame = frames.find((line) => !/[/\\](baton|sync|source_lines)\.[jt]s:/.test(line)) ?? '';
  return /(?:file:\/\/)?(\/[^()]*:\d+:\d+)/.exec(frame)?.[1] ?? '';
}
