// What keeps the agent from its work, in words for who started it. The folder imports nothing else of the source, because it
// is copied into guests as it is; so it has this class beside the one of os/.

export class Problem extends Error {
  override readonly name = 'Problem';
}

/** The code of a system error ("ENOENT"), or an empty string. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
