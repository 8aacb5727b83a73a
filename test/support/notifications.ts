/** A service manager's end of sd_notify: a real datagram socket, which Node itself has not. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';

/** Binds the address of its argument and, once it is told to, prints each datagram as a line of JSON. */
const RECEIVER = `
import json, socket, sys
address = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(('\\0' + address[1:]) if address[0] == '@' else address)
print(json.dumps('bound'), flush=True)
sys.stdin.readline()
while True: print(json.dumps(s.recv(65536).decode()), flush=True)
`;

export interface Notifications {
  readonly heard: readonly string[];
  /** Resolves when a datagram has such a line. */
  hears(line: string): Promise<void>;
  /** From here on it reads. */
  read(): void;
}

export async function notifications(t: Pick<Test, 'teardown'>, address: string): Promise<Notifications> {
  const child: ChildProcess = spawn('python3', ['-c', RECEIVER, address], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  const heard: string[] = [];
  const lines = createInterface({ input: child.stdout! });
  lines.on('line', (line) => heard.push(...String(JSON.parse(line)).split('\n')));
  const hears = async (line: string): Promise<void> => {
    while (!heard.includes(line)) await once(lines, 'line');
  };
  await hears('bound');
  return { heard, hears, read: () => child.stdin!.end('\n') };
}
