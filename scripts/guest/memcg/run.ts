// A run of --memcg, from its server to its verdict.
import type { Context } from '../run.ts';
export async function runMemcgGuest(context: Context): Promise<number> {
  return context.options.memcg ? 1 : 0;
}
