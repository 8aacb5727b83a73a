// What other threads have to say, in the log.
import type { Config } from '../config/schema.ts';
import { errnoName } from '../os/errno.ts';
import { pathOf } from '../pool/memcg.ts';
import type { Shared } from '../pool/shared.ts';
import type { Log } from './log.ts';
import type { FromShrinker, Mismatch } from './messages.ts';
import type { ServiceManager } from './service_manager.ts';
import { callInWords } from './wording.ts';

/** Of pages that are not what was stored. */
export function mismatchLog(config: Config, { memcgs }: Shared, log: Log): (message: Mismatch) => void {
  return ({ x, slot, m, tier, age }) => {
    const known = age === null ? {} : { ageSeconds: age };
    const what = { export: config.exports[x].name, slot, memcg: pathOf(memcgs, m), tier, ...known };
    log.logger.error(what, 'a page is not what was stored, and is EIO until it is written; the counter has the rest');
  };
}

/** What the shrinker has to say: of failures one line per image and kind; the counters have the rest. */
export function shrinkerLog(
  config: Config,
  log: Log,
  manager: ServiceManager,
  tellMismatch: (message: Mismatch) => void,
): (message: FromShrinker) => void {
  const seen = new Set<string>();
  return (message) => {
    if (message.type === 'progress') {
      const { x, done, total, failed } = message;
      const { name } = config.exports[x];
      log.logger.info({ export: name, done, total, failed }, 'draining');
      manager.status(
        `draining ${name}: ${done} of ${total} pages${failed > 0 ? `, ${failed} refused by the image` : ''}`,
      );
    }
    if (message.type === 'mismatch') tellMismatch(message);
    if (message.type === 'noPressure') log.logger.warn(`shrinker_enabled does nothing: ${message.why}`);
    if (message.type !== 'imageError') return;
    const { x, what, errno } = message;
    const key = `${x} ${what} ${errno}`;
    if (seen.has(key)) return;
    seen.add(key);
    const { image, name } = config.exports[x];
    const said = { export: name, image, what: callInWords(what), error: errnoName(errno) };
    log.logger.error(said, 'image operation failed; counted from here on');
  };
}
