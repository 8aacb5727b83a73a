// A terminal that was stopped with ^S takes nothing until ^Q. The server starts, serves and stops all the same.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NbdClient } from 'node-nbd-server';
import t, { type Test } from 'tap';
import { attachHelp } from '#src/server/attach_help.js';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';
import { type ServerOptions, serverArguments } from '../support/zswapd.ts';
import { isMarked } from '../system/durability/images.ts';

const skip = missing('python3');

/**
 * The command on a terminal that is stopped before it begins, with ^Q at the first byte on stdin. Says how it ended, and
 * what was on the terminal then.
 */
const STOPPED = `
import os, pty, sys, threading
pid, terminal = pty.fork()
if pid == 0:
    sys.stdin.buffer.raw.read(1)
    os.execvp(sys.argv[1], sys.argv[1:])
os.write(terminal, b'\\x13x\\n')
print(pid, flush=True)
shown = b''
def look():
    global shown
    while True:
        try: bytes = os.read(terminal, 65536)
        except OSError: return
        if not bytes: return
        shown += bytes
def go_on():
    if sys.stdin.read(1): os.write(terminal, b'\\x11')
looking = threading.Thread(target=look, daemon=True)
looking.start()
threading.Thread(target=go_on, daemon=True).start()
status = os.waitpid(pid, 0)[1]
# The end of the terminal comes behind all that was written to it.
looking.join(10)
ended = 'signal %d' % os.WTERMSIG(status) if os.WIFSIGNALED(status) else 'exit %d' % os.WEXITSTATUS(status)
print(ended, flush=True)
os.write(1, shown.replace(b'\\r', b''))
`;

async function onStopped(t: Test, o: ServerOptions = {}) {
  const folder = tempFolder(t);
  const command = [process.execPath, ...serverArguments(folder, { size: '8MiB', ...o })];
  const python = spawn('python3', ['-c', STOPPED, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => python.kill('SIGKILL'));
  const lines: string[] = [];
  const input = createInterface(python.stdout).on('line', (line) => lines.push(line));
  await once(input, 'line');
  const pid = Number(lines[0]);
  let ran = true;
  const gone = once(input, 'close').then(() => {
    ran = false;
    return { ended: lines[1], shown: lines.slice(2).join('\n') };
  });
  t.teardown(() => {
    if (ran) process.kill(pid, 'SIGKILL');
  });
  return { folder, pid, gone, goOn: () => void python.stdin.write('x') };
}

/** There is no ready line to wait for. */
async function connected(folder: string): Promise<NbdClient> {
  for (;;) {
    try {
      return await NbdClient.connect({ socketPath: join(folder, 'nbd.sock'), export: 'swap0' });
    } catch {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

t.test('it serves, and stops at a signal', { skip }, async (t) => {
  const { folder, pid, gone } = await onStopped(t);
  const client = await connected(folder);
  await client.write(0, Buffer.alloc(4096, 7));
  await client.disconnect();
  process.kill(pid, 'SIGTERM');
  t.equal((await gone).ended, 'exit 0');
  t.notOk(isMarked(join(folder, 'swap0.img')));
});

t.test('what it had to say comes whole and in order when the terminal goes on', { skip }, async (t) => {
  const { folder, pid, gone, goOn } = await onStopped(t);
  await (await connected(folder)).disconnect();
  goOn();
  process.kill(pid, 'SIGTERM');
  const { ended, shown } = await gone;
  t.equal(ended, 'exit 0');
  const uri = `nbd+unix:///swap0?socket=${folder}/nbd.sock`;
  t.ok(shown.indexOf(`ready ${uri}\n`) >= 0, shown);
  t.ok(shown.indexOf(attachHelp([uri]).trimEnd()) > shown.indexOf(`ready ${uri}\n`), shown);
});

t.test('a start that is refused ends', { skip }, async (t) => {
  const { gone } = await onStopped(t, { set: ['listen.tcp=192.0.2.1:1', 'listen.allowRemote=true'] });
  t.equal((await gone).ended, 'exit 2');
});
