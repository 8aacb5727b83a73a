/**
 * What nbdkit can do of a fault of ours: its filters error, delay and pause stand for what fails behind a server or on its way to
 * the client. It has one place where we have several, so a fault of our image is one of its answers.
 */
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseDuration } from '#src/config/units.js';
import { readText, touch, withdraw } from './files.ts';
import type { PlannedFault } from './plan.ts';

export interface Peer {
  readonly title: string;
  /** Filters and what they are told, for the files of a folder. */
  readonly arguments: (folder: string) => readonly string[];
  /** While the faults are there. */
  readonly begin: (folder: string) => Promise<void>;
  readonly end: (folder: string) => Promise<void>;
  /** How often it has happened, from what nbdkit has logged and left in the folder. */
  readonly injected: (folder: string, log: string) => number;
}

const SIZE = '128M';
/** Of a hang that has no end in its plan. */
const HANG_MS = 2000;
const nothing = (): Promise<void> => Promise.resolve();

/** The arguments of a server of its own in the folder. */
export function nbdkitArguments(peer: Peer, folder: string): string[] {
  return ['-f', '-U', join(folder, 'n'), '-P', join(folder, 'pid'), ...peer.arguments(folder)];
}

/** Null where it has no filter for it. */
export function peerOf({ site, action, when, with: extra, said }: PlannedFault): Peer | null {
  const rate = `${when.probability ?? 100}%`;
  const ms = (name: string): number => parseDuration(extra[name] ?? '0ms') ?? 0;
  switch (`${site} ${action}`) {
    case 'image.write EIO':
    case 'image.write ENOSPC':
      return errors(`error: WRITE ${action}, ${rate}`, 'error-pwrite', action, rate);
    case 'image.read EIO':
      return errors(`error: READ ${action}, ${rate}`, 'error-pread', action, rate);
    case 'wire.reply error':
      return errors(`error: any EIO, ${rate}`, 'error', 'EIO', rate);
    case 'image.write latency':
      return delays('write', ms('latency') + ms('jitter') / 2);
    case 'image.read latency':
      return delays('read', ms('latency') + ms('jitter') / 2);
    case 'wire.reply delay':
      return delays('read', ms('delay'));
    case 'image.write hang':
    case 'image.read hang':
      return pauses(parseDuration(said.for) ?? HANG_MS);
    case 'process.loop stall':
      return pauses(ms('stall'));
    default:
      return null;
  }
}

/** While its trigger is there. It logs each. */
function errors(title: string, name: string, code: string, rate: string): Peer {
  const trigger = (folder: string): string => join(folder, 'on');
  return {
    title,
    arguments: (folder) => [
      ...['--filter=error', 'memory', SIZE],
      ...[`${name}=${code}`, `${name}-rate=${rate}`, `${name}-file=${trigger(folder)}`],
    ],
    begin: async (folder) => touch(trigger(folder)),
    end: async (folder) => withdraw(trigger(folder)),
    injected: (_, log) => log.match(/ injecting /g)?.length ?? 0,
  };
}

/** Each request of a kind, from the beginning on: it knows neither a share of them nor an end. */
function delays(kind: 'read' | 'write', ms: number): Peer {
  const stats = (folder: string): string => join(folder, 'stats');
  return {
    title: `delay: each ${kind.toUpperCase()}, ${ms} ms`,
    arguments: (folder) => [
      ...['--filter=stats', '--filter=delay', 'memory', SIZE],
      ...[`delay-${kind}=${ms}ms`, `statsfile=${stats(folder)}`],
    ],
    begin: nothing,
    end: nothing,
    injected: (folder) => Number(new RegExp(`^${kind}: (\\d+) ops`, 'm').exec(readText(stats(folder)))?.[1] ?? 0),
  };
}

/** All requests, once. */
function pauses(ms: number): Peer {
  const control = (folder: string): string => join(folder, 'pause');
  return {
    title: `pause: ${ms} ms, once`,
    arguments: (folder) => ['--filter=pause', 'memory', SIZE, `pause-control=${control(folder)}`],
    begin: async (folder) => {
      await told(control(folder), 'p');
      await delay(ms);
      await told(control(folder), 'r');
    },
    end: nothing,
    injected: () => 1,
  };
}

/** It answers a letter with the same as a capital. */
function told(socket: string, letter: string): Promise<void> {
  return new Promise((done, fail) => {
    const connection = createConnection(socket, () => connection.write(letter));
    connection.on('error', fail);
    connection.once('data', () => {
      connection.destroy();
      done();
    });
  });
}
