/** What a soak settles before it begins: what its server is like, and what its caller is told of mistakes. */
import { EXIT, ExitError, errorText } from '../os/exit_error.ts';
import type { SoakOptions } from './options.ts';

/** Of a device of our own; its pool has room for a part of it, so that all tiers are used. */
const DEVICE = { bytes: 128 * 2 ** 20, pool: '4MiB' };
/** Of one that a guest swaps on. */
const GUEST_DEVICE = { bytes: 2 ** 30, pool: '64MiB' };

interface ServerOf {
  readonly bytes: number;
  readonly settings: readonly string[];
  readonly strict: boolean;
}

/** The server of a soak, if it starts one. */
export function serverOf(o: SoakOptions): ServerOf {
  const { bytes, pool } = o.guest ? GUEST_DEVICE : DEVICE;
  const broken = o.break === undefined ? [] : [`debug.break=${o.break}`, 'unsafe=true'];
  // What a FLUSH comes to is seen where it promises something.
  const durability = o.break === 'fsync' ? ['durability=strict'] : [];
  const settings = [`pool.max=${pool}`, ...durability, ...broken, ...o.set];
  const last = settings.findLast((setting) => setting.startsWith('durability='));
  return { bytes, settings, strict: last === 'durability=strict' };
}

/** A server tells one line per problem. */
export function firstOf(refusal: string): string {
  const [first, ...more] = refusal.split('\n');
  return more.length === 0 ? first : `${first} (and ${more.length} more)`;
}

/** A device that can't be reached in the beginning is a mistake of usage. */
export async function reached<T>(uri: string | undefined, begin: () => Promise<T>): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    if (uri === undefined) throw error;
    const why = `--uri ${uri}: ${errorText(error)}, allowed: a device that is served`;
    throw new ExitError(EXIT.usage, why, { cause: error });
  }
}
