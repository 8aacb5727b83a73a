// What a killed server takes with it of what it has answered.
import type { Config } from '../config/schema.ts';

/** Whether what is answered is on the disk. A supervised server may be killed, and come back to clients that do not know. */
export function writesThrough(
  { writeThrough }: Pick<Config['exports'][number], 'writeThrough'>,
  { durability }: Pick<Config, 'durability'>,
  supervised: boolean,
): boolean {
  return writeThrough === 'on' || (writeThrough === 'auto' && supervised && durability === 'strict');
}

/** What a kill costs that starting again does not mend; null where it costs nothing that was answered. */
export function costOfKill(config: Config): string | null {
  if (config.durability === 'volatile') {
    return 'durability is volatile: a server that is killed leaves a stale image, and is not started again (exit 3)';
  }
  const lossy = config.exports.filter((one) => !writesThrough(one, config, true)).map(({ name }) => name);
  if (lossy.length === 0) return null;
  return `after a kill, writes to ${lossy.join(', ')} that nobody flushed are lost, and swap never flushes (exports[].writeThrough)`;
}
