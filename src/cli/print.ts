// What commands print to stdout, to its last byte. A server writes through server/line_writer.ts, which drops what can't go out.
// Invariant: what could not be written is one line on stderr and exit 1, unless whoever reads has had enough (`| head`).
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';

/** Not of server/output.ts, which loads what a command need not have. */
const STDOUT = 1;

/** Resolves when the text is written. */
export async function print(text: string): Promise<void> {
  try {
    if (mayStall()) await writeStream(text);
    else writeWhole(Buffer.from(text));
  } catch (error) {
    if (errorCode(error) === 'EPIPE') return;
    const line = `zswapd: the output could not be written: ${errorText(error)}`;
    throw new ExitError(EXIT.failed, line, { cause: error });
  }
}

/** Whether it may have to wait for a reader, which Node does for terminals, pipes and sockets. */
function mayStall(): boolean {
  const stat = fstatSync(STDOUT);
  return isatty(STDOUT) || stat.isFIFO() || stat.isSocket();
}

/** Node's own stream for a file takes a short count, as of a disk that fills up, for all of it. */
function writeWhole(bytes: Buffer): void {
  for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(writeSync(STDOUT, rest));
}

function writeStream(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const stdout = process.stdout;
    // Without a listener Node throws the error besides giving it to the callback. One that is piped into it is no such listener.
    if (!stdout.listeners('error').includes(toldByCallback)) stdout.on('error', toldByCallback);
    stdout.write(text, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}

function toldByCallback(_error: Error): void {}
