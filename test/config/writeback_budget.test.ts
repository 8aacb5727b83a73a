// The budget of writeback on demand: what may be written for it, and what comes of it.
import t from 'tap';
import { loadConfigText } from '#src/config/load.js';
import { reserveShared, tunableCells } from '#src/server/settings.js';

const text = (writeback: unknown): string =>
  JSON.stringify({
    exports: [{ name: 'a', size: '1MiB', image: 'a.img', ...(writeback === null ? {} : { writeback }) }],
  });

t.test('none unless given, and then pages and quarters of a second', async (t) => {
  const budgetOf = (writeback: unknown): unknown => {
    const { config } = loadConfigText('c', text(writeback));
    return reserveShared(config, tunableCells(config)).settings.exports[0].budget;
  };
  t.equal(budgetOf(null), undefined);
  t.equal(budgetOf({ budget: 'max', interval: '1h' }), undefined);
  t.strictSame(budgetOf({ budget: '1MiB' }), { pages: 256, ticks: 24 * 3600 * 4 });
  t.strictSame(budgetOf({ budget: 0, interval: '1s' }), { pages: 0, ticks: 4 });
});

t.test('what is no budget, or no interval, is refused by name', async (t) => {
  const bad: [object, RegExp][] = [
    [{ budget: '1000' }, /writeback\.budget: .*multiple of 4096/],
    [{ budget: -4096 }, /writeback\.budget: /],
    [{ budget: 'all' }, /writeback\.budget: .*allowed: .*"max"/],
    [{ interval: '10ms' }, /writeback\.interval: .*allowed: .*1s/],
    [{ interval: '25h' }, /writeback\.interval: /],
    [{ interval: 60 }, /writeback\.interval: /],
    [{ pages: 5 }, /pages/],
  ];
  for (const [writeback, problem] of bad)
    t.throws(() => loadConfigText('c', text(writeback)), { message: problem }, JSON.stringify(writeback));
});
