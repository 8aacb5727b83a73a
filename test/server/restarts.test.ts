// What a supervisor makes of each end of its server, by the table of exit codes, and how long it waits.
import t from 'tap';
import { judge, Restarts } from '#src/server/restarts.js';

t.test('an end that a start may mend is followed by one', async (t) => {
  for (const end of [
    { code: 70, signal: null },
    { code: 1, signal: null },
    { code: 9, signal: null },
    { code: null, signal: 'SIGKILL' },
    { code: null, signal: 'SIGABRT' },
  ]) {
    t.equal(judge(end, 'nothing').next, 'again', JSON.stringify(end));
    t.equal(judge(end, 'upgrade').next, 'again', 'also on the way to another program');
  }
});

t.test('an end that the next start would meet as well keeps its code, whatever was asked', async (t) => {
  for (const asked of ['nothing', 'stop', 'upgrade'] as const) {
    for (const code of [2, 3, 4]) t.match(judge({ code, signal: null }, asked), { next: 'end', code });
  }
  t.match(judge({ code: 3, signal: null }, 'nothing').reason, 'zswapd image reset');
});

t.test('a clean end is one, or makes room for the next program', async (t) => {
  const clean = { code: 0, signal: null };
  t.match(judge(clean, 'nothing'), { next: 'end', code: 0 });
  t.match(judge(clean, 'stop'), { next: 'end', code: 0 });
  t.equal(judge(clean, 'upgrade').next, 'upgrade');
});

t.test('in a stop that was asked for nothing is started again', async (t) => {
  t.match(judge({ code: 70, signal: null }, 'stop'), { next: 'end', code: 70 });
  t.match(judge({ code: null, signal: 'SIGKILL' }, 'stop'), { next: 'end', code: 4 }, 'the drain was cut short');
  t.match(judge({ code: null, signal: 'SIGTERM' }, 'stop'), { next: 'end', code: 0 }, 'before it handled signals');
  t.match(judge({ code: null, signal: 'SIGTERM' }, 'stop', true), { next: 'end', code: 4 }, 'nobody has drained');
});

t.test('each restart of a window waits twice as long, up to a bound, and so many there may be', async (t) => {
  const restarts = new Restarts({ restarts: 4, window: 1000, backoff: 100, backoffMax: 300 });
  t.same(
    [0, 100, 200, 300, 400].map((now) => restarts.next(now)),
    [100, 200, 300, 300, null],
  );
  t.equal(restarts.next(1050), 300, 'the first has left the window');
  t.equal(restarts.next(5000), 100, 'all have');
  t.equal(new Restarts({ restarts: 0, window: 1000, backoff: 0, backoffMax: 0 }).next(0), null);
});
