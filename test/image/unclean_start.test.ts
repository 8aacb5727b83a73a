// What a start does with the marker it finds.
import t from 'tap';
import type { Durability, MarkerState } from '#src/image/marker.js';
import { decideStart, type OnUnclean } from '#src/image/unclean.js';
import { refused } from './images.ts';

function marker(durability: Durability): MarkerState {
  return { identity: '1:2', durability, bootId: 'b', pid: 7, started: '2026-01-01T00:00:00.000Z' };
}

function decide(
  found: MarkerState,
  onUnclean: OnUnclean,
  path = '/images/a',
  there: 'image' | 'other' | 'unmarked' = 'image',
): { action: string; lines: string[] } {
  const lines: string[] = [];
  const warn = (line: string) => lines.push(line);
  const resetLine = `RESET ${path}`;
  return {
    action: decideStart({ marker: found, there, onUnclean, path, exportIndex: 2, resetLine, warn }),
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

t.test('another image in the place of a volatile one is said to be that, and that one wanted back first', async (t) => {
  const other = { found: marker('volatile'), there: 'other' } as const;
  t.match(
    refused(() => decide(other.found, 'refuse', '/images/a', other.there)).message,
    /is not the image that .* had when it ended; allowed: put that image back, or discard/,
  );
  t.match(decide(other.found, 'reset', '/images/a', other.there), {
    action: 'reset',
    lines: [/not the image that it had.*discarded/],
  });
});

t.test('what only the note of the path speaks of is never discarded', async (t) => {
  for (const onUnclean of ['refuse', 'reset'] as const) {
    for (const durability of ['volatile', 'strict'] as const) {
      const { kind, message } = refused(() => decide(marker(durability), onUnclean, '/images/a', 'unmarked'));
      t.equal(kind, 'stale');
      t.match(message, /is not the image that .*; allowed: put that image back, or forget it with `RESET/);
      t.notMatch(message, /onUnclean=reset/);
    }
  }
  t.match(decide(marker('volatile'), 'serve', '/images/a', 'unmarked'), {
    action: 'serve',
    lines: [/what is there is served/],
  });
});
