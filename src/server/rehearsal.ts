// What a start would refuse and only trying tells: for `zswapd config check`, after the questions of environment.ts.
// Invariant: changes nothing. What it opens, locks, binds or reserves is given back at once; no file gets a name.
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Config } from '../config/schema.ts';
import { type FoundImage, rehearseImage } from '../image/prepare.ts';
import { EXIT, ExitError, errorText, named } from '../os/exit_error.ts';
import { checkInherited, inheritedSockets, LISTEN_FDS_START } from '../os/inherited_sockets.ts';
import { isLeftOver } from '../os/unix_socket.ts';
import { Codec } from '../pool/codec.ts';
import { admitImage, imageExit, refuseShared } from './images.ts';
import { tryFlusher } from './io_flusher.ts';
import { tryOom } from './process_care.ts';
import { reserveAll } from './settings.ts';
import { checkThreadRoom } from './thread_room.ts';

export interface Refusal {
  /** The exit code of a start. */
  readonly code: number;
  /** `option: what is wrong, what is allowed`. */
  readonly line: string;
}

/** All that a start with this config would refuse now. */
export async function rehearse(config: Config): Promise<Refusal[]> {
  const markers = new Map<string, number>();
  const tries: (() => unknown)[] = [
    ...config.exports.map((_, x) => () => tryImage(config, x, markers)),
    async () => {
      const kept = reserveAll(config);
      await checkThreadRoom(kept.shared.settings.lanes);
    },
    () => tryFlusher(config.process),
    () => tryOom(config.process),
    () => new Codec(config.compressor.level),
    ...trySockets(config),
  ];
  const refusals: Refusal[] = [];
  for (const attempt of tries) {
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof ExitError)) throw error;
      refusals.push({ code: error.exitCode, line: error.message });
    }
  }
  return refusals;
}

function tryImage(config: Config, x: number, markers: Map<string, number>): void {
  const { image: path, size } = config.exports[x];
  // var/ is made by the start, in the folder above it.
  const folder = existsSync(dirname(path)) ? dirname(path) : dirname(dirname(path));
  const admit = (found: FoundImage): void => {
    // What is worth a line in the log of a server is none of a check that finds the config good.
    const { places } = admitImage(config, x, found, () => undefined);
    refuseShared(markers, x, path, places);
  };
  const problem = rehearseImage({ path, bytes: size, direct: config.image.direct, admit }, folder);
  if (problem !== null) throw imageExit(x, problem);
}

function trySockets({ listen, control, agents }: Config): (() => unknown)[] {
  const inherited = inheritedSockets(process.env);
  const { unix, tcp } = inherited > 0 ? { unix: null, tcp: null } : listen;
  const tries: (() => unknown)[] = [];
  for (let fd = LISTEN_FDS_START; fd < LISTEN_FDS_START + inherited; fd++) tries.push(() => checkInherited(fd));
  for (const [option, path] of [
    ['listen.unix', unix],
    ['control.listen', control.listen],
    ['agents.unix', agents.unix],
  ] as const) {
    if (path !== null) tries.push(() => named(option, isLeftOver(path)));
  }
  if (tcp !== null) tries.push(() => tryPort('listen.tcp', tcp));
  const { tcp: forAgents } = agents;
  if (forAgents !== null) tries.push(() => tryPort('agents.tcp', forAgents));
  return tries;
}

function tryPort(option: string, { host, port }: { host: string; port: number }): Promise<void> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new ExitError(EXIT.usage, `${option}: ${host}:${port}: can't listen: ${errorText(error)}`)),
    );
    server.listen({ host, port }, () => server.close(() => resolve()));
  });
}
