/**
 * What a supervisor makes of the end of its server: whether to start it again, when, and what to say. Pure.
 *
 *   unasked, and a start may mend it (killed, exit 70, 1 and what no table has) -> again, after a backoff, so often in a window
 *   what the next start would meet as well (2, 3), or must not paper over (4)   -> the end, with that code
 *   asked: for a stop -> the end; for an upgrade -> the program that is on disk now
 */
import type { Config } from '../config/schema.ts';
import { EXIT } from '../os/exit_error.ts';

/** How a server ended: the one or the other. */
export interface ServerEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export type Asked = 'nothing' | 'stop' | 'upgrade';

type Verdict =
  | { readonly next: 'again' | 'upgrade'; readonly reason: string }
  | { readonly next: 'end'; readonly code: number; readonly reason: string };

/** Ends that no start mends, and what does. */
const FINAL: Readonly<Record<number, string>> = {
  [EXIT.usage]:
    'the config or the machine does not allow it: mend what the last line of the server says, then start again',
  [EXIT.staleImage]:
    'an image may not be served as it is: what was in the pool alone is lost; choose one of the ways that the last line of the server names (zswapd image reset), then start again',
  [EXIT.drainFailed]:
    'the drain failed or was aborted, so pages are lost and their markers stay: look to the image, then start again',
};

/** Signals that end a server which has not come to handle them, and so has not begun anything. */
const STOPS = ['SIGTERM', 'SIGINT', 'SIGHUP'];

function endText({ code, signal }: ServerEnd): string {
  return signal === null ? `exit ${code}` : `killed by ${signal}`;
}

/** `unclean`: the server before it has ended unasked. */
export function judge(end: ServerEnd, asked: Asked, unclean = false): Verdict {
  const { code, signal } = end;
  const reason = endText(end);
  if (code === EXIT.ok && asked === 'upgrade') return { next: 'upgrade', reason };
  if (code === EXIT.ok) return { next: 'end', code, reason: 'the server was stopped, and the images hold everything' };
  if (code !== null && code in FINAL) return { next: 'end', code, reason: `${reason}: ${FINAL[code]}` };
  if (asked !== 'stop') return { next: 'again', reason };
  if (code !== null) return { next: 'end', code, reason: `${reason}, while it stopped` };
  if (STOPS.includes(signal ?? '')) {
    if (!unclean) return { next: 'end', code: EXIT.ok, reason: 'stopped before it had begun' };
    const as = 'images and markers are as the end of the one before it has left them';
    return { next: 'end', code: EXIT.drainFailed, reason: `stopped before it had begun: ${as}` };
  }
  return { next: 'end', code: EXIT.drainFailed, reason: `${reason} while it stopped: ${FINAL[EXIT.drainFailed]}` };
}

/** Counts restarts, and says how long each has to wait. */
export class Restarts {
  private readonly options: Config['supervise'];
  /** When those of the window were, in milliseconds. */
  private times: number[] = [];

  constructor(options: Config['supervise']) {
    this.options = options;
  }

  /** Milliseconds until the restart that is due at `now`; null where there were too many. */
  next(now: number): number | null {
    const { restarts, window, backoff, backoffMax } = this.options;
    this.times = this.times.filter((time) => now - time < window);
    if (this.times.length >= restarts) return null;
    this.times.push(now);
    return Math.min(backoffMax, backoff * 2 ** (this.times.length - 1));
  }
}
