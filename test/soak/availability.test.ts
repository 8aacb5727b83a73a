import t from 'tap';
import { Answers } from '#src/soak/availability.js';
import { Presences } from '#src/soak/presence.js';

t.test('of the requests that ended in a time, those that succeeded, and the longest time without one', (t) => {
  const answers = new Answers(0);
  for (const ms of [100, 900, 1500, 4500, 5100]) answers.ok(ms);
  answers.bad(1700);
  t.same(answers.during([{ fromMs: 0, toMs: 999 }]), { answered: 1, longestGapMs: 800 });
  t.same(answers.during([{ fromMs: 1200, toMs: 1900 }]), { answered: 0.5, longestGapMs: 3000 });
  t.same(answers.during([{ fromMs: 2000, toMs: 3500 }]), { answered: null, longestGapMs: 3000 }, 'nothing ended');
  const twice = answers.during([
    { fromMs: 1000, toMs: 1999 },
    { fromMs: 1500, toMs: 1999 },
  ]);
  t.same(twice, { answered: 0.5, longestGapMs: 3000 }, 'no second counts twice');
  t.end();
});

t.test('a fault is there while the server calls it active', (t) => {
  const presences = new Presences();
  for (const [ms, isActive] of [
    [1000, false],
    [2000, true],
    [3000, true],
    [4000, false],
    [5000, false],
  ] as const)
    presences.told('f', isActive, ms);
  t.same(presences.spansOf('f', 9000), [], 'nothing of one that was never injected');
  presences.injected('f', 2500);
  t.same(presences.spansOf('f', 9000), [{ fromMs: 2000, toMs: 4000 }]);
  t.same(presences.spansOf('g', 9000), []);
  t.end();
});

t.test('a fault that is active until all are cleared is there from its first injection to its last', (t) => {
  const presences = new Presences();
  presences.told('f', true, 1000);
  presences.injected('f', 3000);
  presences.injected('f', 3500);
  presences.told('f', true, 8000);
  presences.told('f', false, 9100);
  t.same(presences.spansOf('f', 9000), [{ fromMs: 3000, toMs: 4500 }]);
  t.end();
});
