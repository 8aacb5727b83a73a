// Who connects before the markers are written waits: no lane hears of him until the door opens, and then exactly once.
import { closeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfigText } from '#src/config/load.js';
import type { MarkersWritten } from '#src/server/images.js';
import { type Listeners, listen } from '#src/server/listeners.js';
import type { ToLane } from '#src/server/messages.js';
import { createPlaces } from '#src/server/places.js';
import type { LaneHandle } from '#src/server/threads.js';
import { tempFolder } from '../support/tmp.ts';

const MARKERS: MarkersWritten = { markers: [], strict: [], notNoted: null };

interface Door {
  readonly listeners: Listeners;
  /** What each lane was told, in order. */
  readonly told: ToLane[][];
  readonly lines: string[];
  readonly lanes: readonly LaneHandle[];
  /** Resolves when our end of a new connection is open, which the kernel says and not the server. */
  knock(): Promise<void>;
}

async function door(t: Test, maxConnections: number): Promise<Door> {
  const folder = tempFolder(t);
  const path = join(folder, 's');
  const { config } = loadConfigText(join(folder, 'c'), JSON.stringify({ listen: { unix: path, maxConnections } }));
  const told: ToLane[][] = [[], []];
  const lanes = told.map((messages): LaneHandle => {
    const send = (message: ToLane): void => {
      messages.push(message);
      if (message.type === 'socket') t.teardown(() => closeSync(message.fd));
    };
    return { connections: 0, ungreeted: 0, send, next: () => new Promise(() => {}), end: async () => {} };
  });
  const lines: string[] = [];
  const listeners = await listen({
    config,
    lanes,
    places: createPlaces(maxConnections, 1),
    onError: (line) => lines.push(line),
  });
  t.teardown(() => listeners.close());
  async function knock(): Promise<void> {
    const socket = connect(path);
    t.teardown(() => socket.destroy());
    socket.on('error', () => socket.destroy());
    await new Promise<void>((resolve) => socket.once('connect', resolve));
  }
  return { listeners, told, lines, lanes, knock };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('it opens for those who waited, and shares them out', async (t) => {
  const { listeners, told, lanes, lines, knock } = await door(t, 4);
  for (let i = 0; i < 5; i++) await knock();
  // They are accepted in the order of their coming, so the refusal of the last says that the others were.
  while (lines.length === 0) await turn();
  t.same(told, [[], []], 'no lane has heard of anybody');
  listeners.admit(MARKERS);
  t.same(
    told.map((messages) => messages.map(({ type }) => type)),
    [
      ['socket', 'socket'],
      ['socket', 'socket'],
    ],
  );
  t.same(
    lanes.map(({ connections }) => connections),
    [2, 2],
  );
});

t.test('as many wait as may be connected, and a close lets nobody in', async (t) => {
  const { listeners, told, lines, knock } = await door(t, 2);
  for (let i = 0; i < 3; i++) await knock();
  while (lines.length === 0) await turn();
  t.same(lines, ['listen.unix: connection refused: listen.maxConnections (2) are open in their handshake']);
  listeners.close();
  listeners.admit(MARKERS);
  t.same(told, [[], []]);
});
