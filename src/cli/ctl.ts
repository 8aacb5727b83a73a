// `zswapd ctl`: reads and writes the files of a running server, which has them under /v1/fs of its control socket.
// Invariant: a mistake with a file is one line on stderr with the kernel's name for it, and exit 1.
import { FsError } from '../control/fs/errors.ts';
import { escapeName, visible } from '../control/fs/escapes.ts';
import { checkValue, parsePath } from '../control/fs/path.ts';
import { FILES_PREFIX } from '../control/fs/route.ts';
import { RECLAIM_DEADLINE_MS } from '../control/limits.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { askControl, type Question, refusal, TIMEOUT_MS } from './ask_control.ts';

/** Files that answer when pages have been written back. */
const WRITES_BACK = /^\/cgroup(\/.*)?\/memory\.reclaim$|^\/block\/[^/]+\/writeback$/;

const METHODS = { ls: 'GET', get: 'GET', set: 'PUT', mkdir: 'POST', rmdir: 'DELETE' } as const;

export type CtlVerb = keyof typeof METHODS;

export interface CtlOptions {
  /** For set. */
  readonly value?: string;
  /** For ls. */
  readonly long?: boolean;
  /** For mkdir: those above as well, and what is there is no mistake, and stays. */
  readonly parents?: boolean;
  /** How long the server may take for an answer, in milliseconds; 5 s unless given, and more for memory.reclaim and writeback. */
  readonly timeoutMs?: number;
}

/** What is to be printed. `socket`: path of the control socket. */
export async function ctl(
  socket: () => string,
  verb: CtlVerb,
  path: string,
  { value = '', long = false, parents = false, timeoutMs }: CtlOptions,
): Promise<string> {
  const problem = (text: string): ExitError =>
    new ExitError(EXIT.failed, visible(`zswapd ctl: ${verb} ${path}: ${text.trim()}`));
  // What is out of bounds would not get there as what it is; the rest is for the server to say.
  let steps: string[];
  try {
    const { names } = parsePath(path);
    // What was no UTF-8 has become this sign on its way here, and so have others that differ from it.
    if (path.includes('\u{fffd}'))
      throw new FsError('EINVAL', 'the path is not UTF-8, or has the sign for what is not');
    checkValue(value);
    const written = names.map(escapeName);
    steps = written.map((_, depth) => `/${written.slice(0, depth + 1).join('/')}`);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw problem(error.message);
  }
  const query = verb !== 'ls' ? '' : long ? '?ls=long' : '?ls';
  const last = steps.at(-1) ?? '';
  const isReclaim = verb === 'set' && WRITES_BACK.test(last);
  // A server that takes all its time for it still has as long for the answer as for any.
  const waits = timeoutMs ?? (isReclaim ? RECLAIM_DEADLINE_MS + TIMEOUT_MS : TIMEOUT_MS);
  const ask = (method: Question['method'], at: string, isFine?: RegExp, how = query): Promise<string> => {
    const encoded = at.split('/').map(encodeURIComponent).join('/');
    const question = { method, path: `${FILES_PREFIX}${encoded}${how}`, body: value, timeoutMs: waits };
    return askControl(socket(), question, ({ status, type, text }) => {
      if (status === 200) return text;
      if (!type.startsWith('text/plain')) throw new Error(refusal(status, text));
      if (isFine?.test(text) === true) return '';
      throw problem(text);
    });
  };
  if (!parents) return await ask(METHODS[verb], path);
  // One that a cgroup of a guest has made stays from now on, and with it those above.
  for (const step of steps) await ask('POST', step, /^EEXIST/, step === last ? '?keep' : '');
  // What is there may be a file, and then it is none of the folders that were asked for.
  await ask('GET', `${last}/`, /^EISDIR/);
  return '';
}

/** What `zswapd stats --classes` prints: the file of the allocator that the server has, or of each under its name. */
export async function allocatorClasses(socket: () => string): Promise<string> {
  const get = (path: string): Promise<string> => ctl(socket, 'get', path, {});
  const current = (await get('/parameters/zpool')).trim();
  const names = (await ctl(socket, 'ls', '/debug', {}))
    .trim()
    .split('\n')
    .filter((name) => name !== 'zswap');
  if (names.length === 1) return await get(`/debug/${current}/classes`);
  const parts: string[] = [];
  for (const name of names) {
    parts.push(`${name}${name === current ? ' (current)' : ''}\n${await get(`/debug/${name}/classes`)}`);
  }
  return parts.join('\n');
}
