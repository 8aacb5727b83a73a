// The options under `supervise`: how often `zswapd serve --supervise` starts a server again that has ended unasked.
import { WAIT_MS_MAX } from './bounds.ts';
import { duration, group, integer } from './fields.ts';

const RESTARTS_MAX = 1000;
const DAY_MS = 86_400_000;

export const superviseGroup = group(
  {
    restarts: integer(
      0,
      RESTARTS_MAX,
      'restarts',
      'So many in any time of supervise.window; at the next unasked end the supervisor gives up (exit 1), because what ends so often is not mended by starting it.',
    ).prefault(5),
    window: duration(1, DAY_MS, 'The time in which restarts are counted.').prefault('60s'),
    backoff: duration(
      0,
      WAIT_MS_MAX,
      'How long the first restart waits; each further one in the window waits twice as long as the one before.',
    ).prefault('100ms'),
    backoffMax: duration(
      0,
      WAIT_MS_MAX,
      'The longest of these waits. Clients wait in the backlog meanwhile: keep it well below their timeouts.',
    ).prefault('5s'),
  },
  'Of zswapd serve --supervise: how a server that ended unasked is started again.',
);
