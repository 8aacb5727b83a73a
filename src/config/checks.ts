// What options must fulfil together, beyond the bounds of each one. Pure: looks at the config and nothing else.
import { BlockList } from 'node:net';
import type { Problem } from './option_path.ts';
import { checkProtocols } from './protocol_checks.ts';
import type { Config } from './schema.ts';

/** Memcgs that a message names at most. */
const SHOWN_MEMCGS = 10;

/** sockaddr_un holds 108 bytes, the last one a zero; a longer path would be cut in silence. */
const MAX_SOCKET_PATH = 107;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  return loopback.check(host, host.includes(':') ? 'ipv6' : 'ipv4');
}

export function crossCheck(config: Config): Problem[] {
  return [checkListen, checkExports, checkMemcgNames, checkTuning, checkProtocols].flatMap((check) => check(config));
}

function checkListen({ listen, control }: Config): Problem[] {
  const problems: Problem[] = [];
  if (listen.tcp !== null && !listen.allowRemote && !isLoopback(listen.tcp.host)) {
    const message = `${listen.tcp.host} is not a loopback address, allowed: 127.0.0.1, [::1], localhost, or listen.allowRemote: true`;
    problems.push({ path: ['listen', 'tcp'], message });
  }
  problems.push(...checkSocketMode(listen));
  for (const [path, socket] of [
    [['listen', 'unix'], listen.unix],
    [['control', 'listen'], control.listen],
  ] as const) {
    if (socket === null) continue;
    const bytes = Buffer.byteLength(socket);
    if (bytes > MAX_SOCKET_PATH) {
      const message = `${socket} has ${bytes} bytes, allowed: at most ${MAX_SOCKET_PATH} for the path of a unix socket`;
      problems.push({ path: [...path], message });
    }
  }
  if (listen.unix !== null && listen.unix === control.listen) {
    problems.push({ path: ['control', 'listen'], message: 'is the socket of listen.unix, allowed: another path' });
  }
  return problems;
}

function checkSocketMode({ unixMode, unixGroup, allowOthers }: Config['listen']): Problem[] {
  const path = ['listen', 'unixMode'];
  if (unixMode === '0666' && !allowOthers) {
    return [{ path, message: '"0666" lets every local user in, allowed: "0600", "0660", or listen.allowOthers: true' }];
  }
  if (unixMode === '0660' && unixGroup === null) {
    return [{ path, message: '"0660" lets a group in, allowed: with the name of one in listen.unixGroup' }];
  }
  if (unixMode !== '0660' && unixGroup !== null) {
    const message = `does nothing with listen.unixMode: ${JSON.stringify(unixMode)}, allowed: null, or unixMode: "0660"`;
    return [{ path: ['listen', 'unixGroup'], message }];
  }
  return [];
}

function checkExports({ exports, listen, control }: Config): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  const images = new Map<string, number>();
  for (const [index, { name, image }] of exports.entries()) {
    const sameName = names.get(name);
    const sameImage = images.get(image);
    if (sameName !== undefined) {
      const message = `${JSON.stringify(name)} is the name of exports[${sameName}] too, allowed: each name once`;
      problems.push({ path: ['exports', index, 'name'], message });
    }
    if (sameImage !== undefined) {
      const message = `${image} is the image of exports[${sameImage}] too, allowed: one export per image`;
      problems.push({ path: ['exports', index, 'image'], message });
    }
    if (image === listen.unix || image === control.listen) {
      problems.push({
        path: ['exports', index, 'image'],
        message: `${image} is a socket's path too, allowed: another path`,
      });
    }
    names.set(name, index);
    images.set(image, index);
  }
  if (listen.maxConnections < exports.length) {
    const message = `${listen.maxConnections} is fewer than the ${exports.length} exports, allowed: at least one for each`;
    problems.push({ path: ['listen', 'maxConnections'], message });
  }
  return problems;
}

/** A limit of a memcg that nothing is charged to would not be in force, and nobody would be told. */
function checkMemcgNames({ exports, memcgs }: Config): Problem[] {
  const charged = [...new Set(exports.map(({ memcg }) => memcg))];
  const unknown = Object.keys(memcgs).filter((name) => !charged.some((one) => isAtOrBelow(one, name)));
  const shown = charged.slice(0, SHOWN_MEMCGS).map((name) => JSON.stringify(name));
  if (charged.length > shown.length) shown.push(`and ${charged.length - shown.length} more`);
  const message = `no export is in this memcg, allowed: the memcg of an export (${shown.join(', ')}), or one above it`;
  return unknown.map((name) => ({ path: ['memcgs', name], message, key: true }));
}

/** Whether a memcg is the other one, or lies in it, as paths of cgroups are written. */
function isAtOrBelow(memcg: string, above: string): boolean {
  return memcg === above || memcg.startsWith(`${above}/`);
}

function checkTuning({ shrinker, image, debug, unsafe }: Config): Problem[] {
  const problems: Problem[] = [];
  if (shrinker.runPages > image.buffers) {
    const message = `${shrinker.runPages} is more than image.buffers, allowed: at most ${image.buffers}`;
    problems.push({ path: ['shrinker', 'runPages'], message });
  }
  if (Object.keys(debug.delay).length > 0 && !unsafe) {
    problems.push({
      path: ['debug', 'delay'],
      message: 'delays slow every request down, allowed: only with unsafe: true',
    });
  }
  return problems;
}
