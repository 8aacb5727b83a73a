/**
 * /v1/fs<PATH>: the files over HTTP, as text. GET reads, GET with ?ls or ?ls=long lists, PUT writes the body, POST makes a
 * folder, or with ?keep has one stay that is there, DELETE removes one. An error is its kernel name and a sentence, with the status that fits.
 */
import { FsError } from './errors.ts';
import { visible } from './escapes.ts';
import { VALUE_BYTES_MAX } from './path.ts';
import type { FileTree } from './tree.ts';

export const FILES_PREFIX = '/v1/fs';
/** Of a body as much is kept as tells that it is too long. */
export const FILE_BODY_BYTES = VALUE_BYTES_MAX + 1;

interface TextAnswer {
  readonly status: number;
  readonly text: string;
  /** What the path takes, with status 405. */
  readonly allow?: string;
}

interface Asked {
  readonly path: string;
  readonly body: Buffer;
  readonly query: URLSearchParams;
  /** The client has gone. */
  readonly gone: AbortSignal;
}

type Verb = (files: FileTree, asked: Asked) => Promise<string>;

const VERBS: Readonly<Record<string, Verb>> = {
  async GET(files, { path, query }) {
    const ls = query.get('ls');
    if (ls === null) return await files.get(path);
    if (ls !== '' && ls !== 'long') throw new FsError('EINVAL', `ls is ${JSON.stringify(ls)}, allowed: ls or ls=long`);
    return files.ls(path, ls === 'long');
  },
  async PUT(files, { path, body, gone }) {
    await files.set(path, textOf(body), gone);
    return '';
  },
  async POST(files, { path, query }) {
    const keep = query.get('keep');
    if (keep !== null && keep !== '') throw new FsError('EINVAL', `keep is ${JSON.stringify(keep)}, allowed: keep`);
    files.mkdir(path, keep !== null);
    return '';
  },
  async DELETE(files, { path }) {
    files.rmdir(path);
    return '';
  },
};

/** What a method may be asked with. */
const KEYS: Readonly<Record<string, string | undefined>> = { GET: 'ls', POST: 'keep' };

/** Whether a path of HTTP is one of these. */
export function isFilePath(path: string): boolean {
  return path === FILES_PREFIX || path.startsWith(`${FILES_PREFIX}/`);
}

/** `asked.path`: as it came, with the prefix and encoded. Throws what is no fault of the client. */
export async function answerFile(files: FileTree, method: string, asked: Asked): Promise<TextAnswer> {
  const verb = Object.hasOwn(VERBS, method) ? VERBS[method] : undefined;
  const allow = Object.keys(VERBS).join(', ');
  if (verb === undefined) return { status: 405, text: `${FILES_PREFIX} takes ${allow}\n`, allow };
  try {
    for (const key of asked.query.keys()) {
      if (KEYS[method] !== key) throw new FsError('EINVAL', `${key} is unknown, allowed: GET with ls, POST with keep`);
    }
    return { status: 200, text: await verb(files, { ...asked, path: decode(asked.path) }) };
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return { status: error.status, text: `${visible(error.message)}\n` };
  }
}

function decode(path: string): string {
  const encoded = path.slice(FILES_PREFIX.length);
  try {
    return decodeURIComponent(encoded === '' ? '/' : encoded);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new FsError('EINVAL', 'the path has a % that is not followed by a byte of UTF-8');
  }
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch (error) {
    // A character may be cut off at the bound, so its message has to be the one about the length.
    if (body.length > VALUE_BYTES_MAX) throw new FsError('E2BIG', `the value has more than ${VALUE_BYTES_MAX} bytes`);
    if (!(error instanceof TypeError)) throw error;
    throw new FsError('EINVAL', 'the value is not UTF-8');
  }
}
