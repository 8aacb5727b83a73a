/** Plays one session against a server, and says what the server has done wrong. */
import type { Duplex } from 'node:stream';
import * as wire from 'node-nbd-server';
import { rawRequest } from '../raw_client.ts';
import { expectHandshake } from './expected_options.ts';
import { expectRequests } from './expected_requests.ts';
import { ReplyCheck } from './reply_check.ts';
import { piecesOf, type Session } from './session.ts';
import { prepare, SECRET, type Target } from './targets.ts';

/** Whoever has not answered by then hangs. A farewell may take a second. */
const HANG_MS = 4000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Connections that hang since an earlier session, which is at fault and not the ones after it. */
const stuck = new WeakMap<Target, number>();

/** Timers that keep the process, and those that do so since an earlier session, or were there before. */
const timers = (): number => process.getActiveResourcesInfo().filter((what) => what === 'Timeout').length;
let idle = timers();

class Hang extends Error {}

async function awaited(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + HANG_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Hang(what);
    await turn();
  }
}

/** Null if nothing was wrong. */
export async function play(target: Target, session: Session): Promise<string | null> {
  const { device } = target;
  if (device !== null) prepare(device, session.device);
  const pieces = piecesOf(session);
  const sent = Buffer.concat(pieces);
  const handshake = expectHandshake(sent, target.exports);
  // Only if it does one thing after the other is it known what a READ finds.
  const known = session.device === 'now' && device !== null && handshake.info?.name === device.info.name;
  const disk = known ? Buffer.alloc(device.bytes.length) : null;
  const requests = handshake.after === 'transmission' ? expectRequests(sent, handshake, disk) : null;
  const check = new ReplyCheck(target.exports, handshake, requests);
  const after = requests?.after ?? handshake.after;
  const peer = await target.connect();
  const state = { closed: false, secret: false };
  peer.on('data', (bytes: Buffer) => {
    check.feed(bytes);
    if (bytes.includes(SECRET)) state.secret = true;
  });
  peer.on('end', () => peer.end());
  peer.on('error', () => peer.destroy());
  peer.on('close', () => {
    state.closed = true;
  });
  try {
    await send(peer, pieces, session.deaf);
    const over = (): boolean => state.closed || check.problem !== null;
    const whole = requests?.whole ?? handshake.at === sent.length;
    await end(peer, session, { check, after, over, whole, atRequest: whole && requests !== null });
    await awaited('a client that has left is not let go', () => target.open() <= (stuck.get(target) ?? 0));
    await awaited('a timer goes on for a client that has left', () => timers() <= idle);
  } catch (error) {
    if (!(error instanceof Hang)) throw error;
    check.problem ??= error.message;
    stuck.set(target, target.open());
    idle = timers();
  }
  peer.destroy();
  device?.release();
  if (state.secret) return 'bytes of another client';
  return check.problem;
}

async function send(peer: Duplex, pieces: readonly Buffer[], deaf: boolean): Promise<void> {
  if (deaf) peer.pause();
  for (const piece of pieces) {
    if (peer.destroyed || peer.writableEnded) break;
    peer.write(piece);
    await turn();
    await turn();
  }
  if (deaf) peer.resume();
}

interface Course {
  readonly check: ReplyCheck;
  readonly after: 'more' | 'closed' | 'dropped' | 'transmission';
  /** Whether its last byte ends a request, an option or a goodbye; and whether a request may follow. */
  readonly whole: boolean;
  readonly atRequest: boolean;
  over(): boolean;
}

async function end(peer: Duplex, { ending }: Session, { check, after, over, whole, atRequest }: Course): Promise<void> {
  if (ending === 'leave') {
    peer.destroy();
    return;
  }
  if (ending === 'half') peer.end();
  // Over TCP what comes behind a goodbye can throw away the replies that are on their way.
  const owed = after === 'closed' ? whole : after === 'more' && ending !== 'half';
  if (owed) {
    await awaited(`an answer does not come, behind ${check.total} bytes`, () => check.complete || over());
    if (!check.complete) check.problem ??= `it was closed after ${check.total} bytes, with answers owed`;
  }
  if (after === 'more' && ending === 'wait') peer.destroy();
  else if (after === 'more' && atRequest) peer.write(rawRequest(wire.NBD_CMD_DISC, 0, 0, 0, 0));
  else if (after === 'more') peer.end();
  await awaited(`${after}: it is not closed`, over);
}
