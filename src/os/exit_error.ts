// The one error class that ends the process with a chosen exit code and one line on stderr.
// Invariant: its message is written for the operator and needs no stack; every other error is an internal fault.

import { withErrnoNames } from './errno.ts';

/** Exit codes of every `zswapd` command; scripts depend on them. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  staleImage: 3,
  drainFailed: 4,
  /** Of a soak: it could not be told. */
  unknown: 5,
  internal: 70,
} as const;

export class ExitError extends Error {
  override readonly name: string = 'ExitError';
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** What a promise resolves to; an ExitError of its gets the name of the option that it is about. */
export async function named<T>(option: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    throw new ExitError(error.exitCode, `${option}: ${error.message}`, { cause: error });
  }
}

/** The code of a system error ("ENOENT"), or an empty string for anything else that was thrown. */
export function errorCode(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return withErrnoNames(error.code);
  return '';
}

/** What to print of something that was thrown. */
export function errorText(error: unknown): string {
  return withErrnoNames(error instanceof Error ? error.message : String(error));
}
