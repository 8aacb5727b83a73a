// The state of an export: what each state answers, and which changes there are.
import t from 'tap';
import {
  enter,
  hasTrees,
  mayWriteBack,
  runsVerb,
  STATE,
  type State,
  stateOf,
  TABLE,
  takesWrites,
} from '#src/pool/export_state.js';

const ALL = Object.values(STATE);
const word = (state: State): Int32Array => Int32Array.of(STATE.ENDED, state);
const namesWhere = (holds: (states: Int32Array, x: number) => boolean): string[] =>
  ALL.filter((state) => holds(word(state), 1)).map((state) => TABLE[state].name);

t.test('what a state answers to READ, WRITE, writeback and verbs', async (t) => {
  t.strictSame(namesWhere(hasTrees), ['on', 'keeping', 'closing', 'stopping', 'draining']);
  t.strictSame(namesWhere(takesWrites), ['on', 'stopping']);
  t.strictSame(namesWhere(mayWriteBack), ['on', 'keeping', 'closing', 'stopping']);
  t.strictSame(namesWhere(runsVerb), ['keeping', 'closing', 'punching', 'opening']);
  const begins = (verb: 'swapoff' | 'swapon') => TABLE.filter((row) => row[verb] === null).map((row) => row.name);
  t.strictSame([begins('swapoff'), begins('swapon')], [['on'], ['off']]);
});

t.test('a stop takes only what no verb is at work on, and nothing leaves the stop again', async (t) => {
  for (const { name, verb, stop } of TABLE) if (verb) t.equal(stop, null, name);
  t.strictSame(
    TABLE.filter(({ stop }) => stop !== null).map(({ name, stop }) => [name, TABLE[stop!].name]),
    [
      ['on', 'stopping'],
      ['off', 'ended'],
    ],
  );
});

t.test('the changes that there are, and no other', async (t) => {
  const changes = ALL.flatMap((from) =>
    ALL.flatMap((to) => {
      const states = word(from);
      try {
        enter(states, 1, to);
      } catch (error) {
        t.match(error, /export 1 can't go from \w+ to \w+/);
        t.equal(stateOf(states, 1), from, 'nothing has changed');
        return [];
      }
      t.strictSame([...states], [STATE.ENDED, to]);
      return [`${TABLE[from].name} > ${TABLE[to].name}`];
    }),
  );
  t.strictSame(changes.sort(), [
    'closing > on',
    'closing > punching',
    'draining > ended',
    'keeping > on',
    'keeping > punching',
    'off > ended',
    'off > opening',
    'off > punching',
    'on > closing',
    'on > keeping',
    'on > stopping',
    'opening > on',
    'punching > off',
    'stopping > draining',
  ]);
});
