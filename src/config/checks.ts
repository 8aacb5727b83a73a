// What options must fulfil together, beyond the bounds of each one. Pure: looks at the config and nothing else.
import { RANGES_MAX } from '../pool/attribution.ts';
import { MEMCGS_MAX } from '../pool/limits.ts';
import { below, MemcgError, namesOf, UNATTRIBUTED } from '../pool/memcg_path.ts';
import { checkAgents } from './agent_checks.ts';
import { isLoopback } from './loopback.ts';
import { checkMarkers } from './marker_checks.ts';
import type { Problem } from './option_path.ts';
import { checkPool, checkRaw } from './pool_checks.ts';
import { checkProtocols } from './protocol_checks.ts';
import type { Config } from './schema.ts';
import { formatSize } from './units.ts';

/** sockaddr_un holds 108 bytes, the last one a zero; a longer path would be cut in silence. */
const MAX_SOCKET_PATH = 107;

export function crossCheck(config: Config): Problem[] {
  return [
    checkListen,
    checkExports,
    checkMarkers,
    checkRanges,
    checkAgents,
    checkMemcgs,
    checkPool,
    checkRaw,
    checkTuning,
    checkProtocols,
    checkProcess,
  ].flatMap((check) => check(config));
}

function checkListen({ listen, control, agents }: Config): Problem[] {
  const problems: Problem[] = [];
  if (listen.tcp !== null && !listen.allowRemote && !isLoopback(listen.tcp.host)) {
    const message = `${listen.tcp.host} is not a loopback address, allowed: 127.0.0.1, [::1], localhost, or listen.allowRemote: true`;
    problems.push({ path: ['listen', 'tcp'], message });
  }
  problems.push(...checkSocketMode(listen));
  for (const [path, socket] of [
    [['listen', 'unix'], listen.unix],
    [['control', 'listen'], control.listen],
    [['agents', 'unix'], agents.unix],
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

function checkExports({ exports, listen, control, durability }: Config): Problem[] {
  const problems: Problem[] = [];
  const names = new Map<string, number>();
  const images = new Map<string, number>();
  for (const [index, { name, image, writeThrough }] of exports.entries()) {
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
    if (writeThrough === 'on' && durability !== 'strict') {
      const message = `"on" promises what durability: ${JSON.stringify(durability)} does not keep, allowed: with durability: "strict"`;
      problems.push({ path: ['exports', index, 'writeThrough'], message });
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

/** Ranges are on their device, apart from each other, and named where they count. */
function checkRanges({ exports }: Config): Problem[] {
  const problems: Problem[] = [];
  let all = 0;
  for (const [index, { size, attribution, ranges }] of exports.entries()) {
    const path = ['exports', index, 'ranges'];
    all += ranges.length;
    if (attribution === 'ranges' && ranges.length === 0) {
      problems.push({ path, message: 'is empty, allowed: at least one for attribution: "ranges"' });
    }
    if (attribution !== 'ranges' && ranges.length > 0) {
      const message = `does nothing with attribution: ${JSON.stringify(attribution)}, allowed: attribution: "ranges"`;
      problems.push({ path, message });
    }
    const sorted = [...ranges.entries()].sort(([, a], [, b]) => a.offset - b.offset);
    for (const [i, [at, one]] of sorted.entries()) {
      const [before, last] = sorted[i - 1] ?? [];
      if (one.offset + one.size > size) {
        const message = `ends at ${formatSize(one.offset + one.size)}, allowed: up to ${formatSize(size)}, the end of the device`;
        problems.push({ path: [...path, at], message });
      }
      if (last !== undefined && last.offset + last.size > one.offset) {
        const message = `overlaps ranges[${before}], allowed: each slot once`;
        problems.push({ path: [...path, at], message });
      }
    }
  }
  if (all > RANGES_MAX) {
    const message = `${all} ranges, allowed: at most ${RANGES_MAX} of all exports together`;
    problems.push({ path: ['exports'], message });
  }
  return problems;
}

/** Paths as the tree of memcgs takes them, each once, and no more than it has rows for. */
function checkMemcgs({ exports, memcgs }: Config): Problem[] {
  const problems: Problem[] = [];
  const rows = new Set<string>();
  const know = (path: Problem['path'], memcg: string): string | null => {
    try {
      const names = namesOf(memcg);
      for (let depth = 1; depth <= names.length; depth++) rows.add(names.slice(0, depth).join('/'));
      return names.join('/');
    } catch (error) {
      if (!(error instanceof MemcgError)) throw error;
      problems.push({ path, message: `${error.message.replace(/^[A-Z]+: memcg /, '')}, allowed: a path of cgroups` });
      return null;
    }
  };
  for (const [index, { memcg, ranges, attribution }] of exports.entries()) {
    const own = know(['exports', index, 'memcg'], memcg);
    if (attribution === 'agent' && own !== null) know(['exports', index, 'memcg'], below(own, UNATTRIBUTED));
    for (const [at, range] of ranges.entries()) know(['exports', index, 'ranges', at, 'memcg'], range.memcg);
  }
  const written = new Map<string, string>();
  for (const [key, value] of Object.entries(memcgs)) {
    const name = know(['memcgs', key], key);
    const same = name === null ? undefined : written.get(name);
    const message = `is the memcg of ${JSON.stringify(same)} too, allowed: each once`;
    if (same !== undefined) problems.push({ path: ['memcgs', key], message });
    if (name !== null) written.set(name, key);
    if (name === '' && value['zswap.max'] < Number.MAX_SAFE_INTEGER) {
      problems.push({ path: ['memcgs', key, 'zswap.max'], message: 'the root has no limit, allowed: "max"' });
    }
  }
  if (rows.size >= MEMCGS_MAX) {
    const message = `${rows.size} memcgs, those above others among them, allowed: at most ${MEMCGS_MAX - 1}`;
    problems.push({ path: ['memcgs'], message });
  }
  return problems;
}

function checkTuning({ debug, unsafe }: Config): Problem[] {
  if (unsafe) return [];
  const problems: Problem[] = [];
  if (Object.keys(debug.delay).length > 0) {
    const message = 'delays slow every request down, allowed: only with unsafe: true';
    problems.push({ path: ['debug', 'delay'], message });
  }
  if (debug.break !== null) {
    const message = `${debug.break} loses or corrupts data on purpose, allowed: only with unsafe: true`;
    problems.push({ path: ['debug', 'break'], message });
  }
  return problems;
}

/** What is going to go wrong, or null. */
export function breakWarning({ debug }: Pick<Config, 'debug'>): string | null {
  if (debug.break === null) return null;
  return `debug.break ${debug.break}: a safeguard is taken out, and data will be lost or corrupted`;
}

function checkProcess({ process }: Config): Problem[] {
  if (process.oomScoreAdj !== null || !process.oomScoreAdjRequired) return [];
  const message = 'true asks for nothing with process.oomScoreAdj: null, allowed: false, or a process.oomScoreAdj';
  return [{ path: ['process', 'oomScoreAdjRequired'], message }];
}
