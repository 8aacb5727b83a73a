// What threads are told comes from the config, and one option bounds another.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { threadSettings } from '#src/server/settings.js';

const BUDGET = { writes: 1, reads: 1, stalled: 0 };

t.test('a run is not longer than there are buffers, whichever of both is written', async (t) => {
  const pages = (text: string): number =>
    threadSettings(loadConfigText('c', text).config, [], BUDGET).shrinker.runPages;
  t.equal(pages('{}'), 64);
  t.equal(pages('{ "image": { "buffers": 16 } }'), 16);
  t.equal(pages('{ "image": { "buffers": 32 }, "shrinker": { "runPages": 8 } }'), 8);
});
