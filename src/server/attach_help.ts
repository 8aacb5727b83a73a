/**
 * The lines to paste, for a person who started the server on a terminal: how to look at an export, and how a guest swaps on
 * it. Each works as it is shown, whatever is in names and paths. None is for this machine itself: a server whose memory is
 * swapped out to itself deadlocks.
 */
import { networkInterfaces } from 'node:os';
import { shellLine, shellWord } from '../os/shell.ts';

/** What a guest of QEMU's user networking calls our loopback. */
const HOST_OF_GUEST = { '127.0.0.1': '10.0.2.2', '[::1]': 'fec0::2' } as const;

/** A guest handles a write to its swap that fails; QEMU's default would stop all of it at an ENOSPC. */
const ON_ERROR = 'werror=report,rerror=report';

interface Place {
  readonly uri: string;
  readonly name: string;
  /** Of the server, as QEMU's -blockdev has it. */
  readonly server: readonly (readonly [string, string])[];
  /** What a guest's own client connects to; null where it can't reach the server. */
  readonly tcp: { readonly host: string; readonly port: string } | null;
}

/** Of a server that comes back: how long QEMU waits for it, in seconds, before its guest is told of an error. */
const RECONNECT_DELAY = 300;

interface Help {
  /** A supervisor holds its sockets. */
  readonly supervised?: boolean;
  /** This machine's, for guests of a server that listens on all of them. */
  readonly address?: string | null;
}

/** `uris`: those of the ready lines. */
export function attachHelp(uris: readonly string[], { supervised = false, address = ownAddress() }: Help = {}): string {
  const lines = uris.flatMap((uri, index) => {
    const place = placeOf(uri, address);
    return [
      `${index === 0 ? '' : '\n'}# ${uri}`,
      '# look at it:',
      `  ${shellLine(['nbdinfo', uri])}`,
      '# the disk of a QEMU guest (swap in the guest: mkswap /dev/vdb && swapon -d /dev/vdb):',
      `  -blockdev ${shellWord(blockdev(place, `zswap${index}`, supervised))} -object iothread,id=zswap-io${index} ` +
        `-device virtio-blk-pci,drive=zswap${index},iothread=zswap-io${index},${ON_ERROR}`,
      ...(place.tcp === null ? [] : ['# in a guest that attaches by itself:', `  ${inGuest(place.tcp, place.name)}`]),
    ];
  });
  return `${lines.join('\n')}\n`;
}

function placeOf(uri: string, address: string | null): Place {
  const unix = /^nbd\+unix:\/\/\/([^?]*)\?socket=(.*)$/.exec(uri);
  if (unix !== null) {
    const [name, path] = unix.slice(1).map(decodeURIComponent);
    const server = [['type', 'unix'] as const, ['path', path] as const];
    return { uri, name, server, tcp: null };
  }
  const [, host, port, name] = /^nbd:\/\/(.*):(\d+)\/(.*)$/.exec(uri) ?? [];
  if (host === undefined) throw new Error(`${uri} is no URI of ours`);
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const server = [['type', 'inet'] as const, ['host', bare] as const, ['port', port] as const];
  return { uri, name: decodeURIComponent(name), server, tcp: { host: hostFor(host, bare, address), port } };
}

function hostFor(host: string, bare: string, address: string | null): string {
  if (host in HOST_OF_GUEST) return HOST_OF_GUEST[host as keyof typeof HOST_OF_GUEST];
  return (bare === '0.0.0.0' || bare === '::') && address !== null ? address : bare;
}

/** Values of QEMU's key=value notation: a comma is doubled. */
function blockdev({ name, server }: Place, node: string, supervised: boolean): string {
  const pairs = [
    ['driver', 'nbd'],
    ['node-name', node],
    ...server.map(([key, value]) => [`server.${key}`, value]),
    ['export', name],
    ['discard', 'unmap'],
    ['detect-zeroes', 'off'],
    ['cache.direct', 'on'],
    ...(supervised ? [['reconnect-delay', String(RECONNECT_DELAY)]] : []),
  ];
  return pairs.map(([key, value]) => `${key}=${value.replaceAll(',', ',,')}`).join(',');
}

function inGuest({ host, port }: { host: string; port: string }, name: string): string {
  const attach = shellLine(['nbd-client', '-b', '4096', host, port, '-N', name, '/dev/nbd0']);
  return `modprobe nbd max_part=0 && ${attach} && mkswap /dev/nbd0 && swapon -d /dev/nbd0`;
}

/** The first address of this machine that others reach; null without one. */
function ownAddress(): string | null {
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;
}
