// The terminal that a server was started on goes away: the stop ends with its own exit code, not with a crash of Node.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { missing } from '../support/requires.ts';
import { tempFolder } from '../support/tmp.ts';
import { serverArguments } from '../support/zswapd.ts';
import { isMarked } from '../system/durability/images.ts';

const skip = missing('python3');

/** The command on a terminal of its own, which is closed at the first byte on stdin; says "ready", then how it ended. */
const ON_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
said = b''
while b'ready ' not in said: said += os.read(terminal, 65536)
print('ready', flush=True)
sys.stdin.read(1)
os.close(terminal)
status = os.waitpid(pid, 0)[1]
print('signal', os.WTERMSIG(status)) if os.WIFSIGNALED(status) else print('exit', os.WEXITSTATUS(status))
`;

/** How a server on a terminal ended, whose terminal was closed; `image`: its image. */
async function closed(t: Test, before: (image: string) => void): Promise<{ ended: string; marked: boolean }> {
  const folder = tempFolder(t);
  const command = [process.execPath, ...serverArguments(folder, { size: '8MiB' })];
  const python = spawn('python3', ['-c', ON_TERMINAL, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => python.kill('SIGKILL'));
  const lines = createInterface(python.stdout);
  await once(lines, 'line');
  const image = join(folder, 'swap0.img');
  before(image);
  python.stdin.write('x');
  const [ended] = await once(lines, 'line');
  return { ended, marked: isMarked(image) };
}

t.test('after a stop that drained everything', { skip }, async (t) => {
  t.same(await closed(t, () => undefined), { ended: 'exit 0', marked: false });
});

t.test('after one that could not', { skip }, async (t) => {
  t.same(await closed(t, unlinkSync), { ended: 'exit 4', marked: true });
});
