// `zswapd ctl`: reads and writes the files of a running server, which has them under /v1/fs of its control socket.
// Invariant: a mistake with a file is one line on stderr with the kernel's name for it, and exit 1.
import { FsError } from '../control/fs/errors.ts';
import { checkValue, parsePath } from '../control/fs/path.ts';
import { FILES_PREFIX } from '../control/fs/route.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';
import { askControl, refusal } from './ask_control.ts';

const METHODS = { ls: 'GET', get: 'GET', set: 'PUT', mkdir: 'POST', rmdir: 'DELETE' } as const;

export type CtlVerb = keyof typeof METHODS;

export interface CtlOptions {
  /** For set. */
  readonly value?: string;
  /** For ls. */
  readonly long?: boolean;
}

/** What is to be printed. `socket`: path of the control socket. */
export async function ctl(
  socket: () => string,
  verb: CtlVerb,
  path: string,
  { value = '', long = false }: CtlOptions,
): Promise<string> {
  const problem = (text: string): ExitError =>
    new ExitError(EXIT.failed, `zswapd ctl: ${verb} ${path}: ${text.trim()}`);
  // What is out of bounds would not get there as what it is; the rest is for the server to say.
  try {
    parsePath(path);
    checkValue(value);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw problem(error.message);
  }
  const query = verb !== 'ls' ? '' : long ? '?ls=long' : '?ls';
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  const question = { method: METHODS[verb], path: `${FILES_PREFIX}${encoded}${query}`, body: value };
  return await askControl(socket(), question, ({ status, type, text }) => {
    if (status === 200) return text;
    if (!type.startsWith('text/plain')) throw new Error(refusal(status, text));
    throw problem(text);
  });
}
