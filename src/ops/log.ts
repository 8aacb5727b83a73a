// The log: JSON lines by pino on stderr, from the main thread only.
// Invariant: no state of stdout or stderr stops or stalls the server; lines that can't be written are dropped, counted, and
// reported by a line as soon as one can be written, and by GET /stats.
import { isMainThread } from 'node:worker_threads';
import { type Logger, pino } from 'pino';
import { LineWriter } from './line_writer.ts';
import { FLUSH_DEADLINE_MS, openWithoutBlocking, STDERR } from './output.ts';

export interface Log {
  logger: Logger;
  /** Text that is for whoever reads along, and no line of the log; after those so far. */
  print(text: string): void;
  /** Lines that could not be written so far. */
  dropped(): number;
  /** Waits until the lines so far are written, at most a second. To be called before the process is ended. */
  flush(): Promise<void>;
}

export function createLog(level: string): Log {
  if (!isMainThread) throw new Error('only the main thread logs; a worker sends its lines there');
  const writer = new LineWriter(openWithoutBlocking(STDERR), droppedLine);
  return {
    logger: pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, writer),
    print: (text) => writer.write(text),
    dropped: () => writer.dropped,
    flush: () => writer.flush(FLUSH_DEADLINE_MS),
  };
}

/** As pino would write it at level error; not through pino, so that no level hides it. */
function droppedLine(dropped: number, total: number): string {
  const msg = `${dropped} log lines could not be written and are lost`;
  return `${JSON.stringify({ level: pino.levels.values.error, time: new Date().toISOString(), dropped, total, msg })}\n`;
}

/** Keeps a closed stdout or stderr from ending the process; Node would throw the stream's unhandled 'error'. */
export function ignoreClosedOutput(): void {
  process.stdout.on('error', ignoreOutputError);
  process.stderr.on('error', ignoreOutputError);
}

/** EPIPE, EIO after a hangup, ENOSPC: the error is about the only place that it could be reported to. */
function ignoreOutputError(_error: Error): void {}
