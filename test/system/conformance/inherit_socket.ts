/**
 * Started by a test: listens, then starts the server with the listening socket as its descriptor 3, as systemd would.
 * Arguments: where to listen (a path, or a port of 127.0.0.1), then the command. Ends as the server ends.
 */
import { spawn } from 'node:child_process';
import { renameSync } from 'node:fs';
import { createServer } from 'node:net';

const [where, command, ...args] = process.argv.slice(2);
const server = createServer();
server.listen(/^\d+$/.test(where) ? { host: '127.0.0.1', port: Number(where) } : { path: where }, () => {
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const child = spawn(command, args, {
    stdio: ['ignore', 'inherit', 'inherit', fd],
    env: { ...process.env, LISTEN_FDS: '1' },
  });
  // Our own copy would take connections away from the server. A close unlinks the path, so the socket steps aside.
  const path = server.address();
  if (typeof path === 'string') renameSync(path, `${path}.kept`);
  server.close();
  if (typeof path === 'string') renameSync(`${path}.kept`, path);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
});
