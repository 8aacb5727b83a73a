// What a killed server takes with it of what it has answered.
import type { Config } from '../config/schema.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';

/** Whether what is answered is on the disk. A supervised server may be killed, and come back to clients that do not know. */
export function writesThrough(
  { writeThrough }: Pick<Config['exports'][number], 'writeThrough'>,
  { durability }: Pick<Config, 'durability'>,
  supervised: boolean,
): boolean {
  return writeThrough === 'on' || (writeThrough === 'auto' && supervised && durability === 'strict');
}

/** Clients of a killed server connect again by themselves, and would read what is on a stale image for what they wrote. */
export function refuseOtherBytes({ durability, exports }: Pick<Config, 'durability' | 'exports'>): void {
  const at = exports.findIndex(({ onUnclean }) => onUnclean !== 'refuse');
  if (durability === 'strict' || at < 0) return;
  const said = `exports[${at}].onUnclean: "${exports[at].onUnclean}" with durability volatile`;
  throw new ExitError(
    EXIT.usage,
    `${said}: after a kill the same clients would read other bytes, allowed with --supervise: "refuse", and zswapd image reset by hand`,
  );
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
