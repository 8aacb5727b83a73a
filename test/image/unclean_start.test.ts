// What a start does with the marker it finds.
import t from 'tap';
import type { Durability, MarkerState } from '#src/image/marker.js';
import { decideStart, type OnUnclean } from '#src/image/unclean.js';
import { refused } from './images.ts';

function marker(durability: Durability): MarkerState {
  return { identity: '1:2', durability, bootId: 'b', pid: 7, started: '2026-01-01T00:00:00.000Z' };
}

function decide(found: MarkerState, onUnclean: OnUnclean, path = '/images/a'): { action: string; lines: string[] } {
  const lines: string[] = [];
  const warn = (line: string) => lines.push(line);
  const resetLine = (at: string) => `RESET ${at}`;
  return {
    action: decideStart({ marker: found, there: 'image', onUnclean, path, exportIndex: 2, resetLine, warn }),
    lines,
  };
}

t.test('without a marker the start is clean and silent', async (t) => {
  for (const onUnclean of ['refuse', 'reset', 'serve'] as const) {
    t.same(decide(null, onUnclean), { action: 'clean', lines: [] });
  }
});

t.test('a volatile or unreadable marker is refused with all ways out', async (t) => {
  for (const found of [marker('volatile'), 'unreadable'] as const) {
    const error = refused(() => decide(found, 'refuse'));
    t.equal(error.kind, 'stale');
    t.match(error.message, /^[^\n]*`RESET \/images\/a`[^\n]*$/);
    t.match(error.message, "`--set 'exports[2].onUnclean=reset'`");
    t.match(error.message, "`--set 'exports[2].onUnclean=serve'`");
  }
});

t.test('the operator may choose, and the log says what was chosen', async (t) => {
  t.match(decide(marker('volatile'), 'reset'), { action: 'reset', lines: [/pid 7.*discarded/] });
  t.match(decide('unreadable', 'serve'), { action: 'serve', lines: [/unreadable.*old bytes/] });
});

t.test('a strict marker is served whatever was chosen, because what was flushed is there', async (t) => {
  for (const onUnclean of ['refuse', 'reset', 'serve'] as const) {
    t.match(decide(marker('strict'), onUnclean), { action: 'serve', lines: [/later writes may be gone/] });
  }
});
