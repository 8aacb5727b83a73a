// What a server refuses with, as the command line shows it: one line, in the words that were meant.
import t from 'tap';
import { refusal } from '#src/cli/ask_control.js';

const answer = (error: string): string => `${JSON.stringify({ error })}\n`;

t.test('quotes and backslashes are as the server meant them', async (t) => {
  for (const text of ['no export a"b, allowed: swap0', 'C:\\x', 'é \u2028 €'])
    t.equal(refusal(404, answer(text)), text);
});

t.test('what would leave the line or reach the terminal is escaped', async (t) => {
  t.equal(refusal(404, answer('a\nb')), 'a\\u000ab');
  t.equal(refusal(404, answer('\u001b[2J"')), '\\u001b[2J"');
  t.equal(refusal(404, answer('\u009b2J')), '\\u009b2J');
});

t.test('an answer that is none of ours is quoted with its status', async (t) => {
  t.equal(refusal(404, '{"error":"\\q"}'), 'the server answered 404: {"error":"\\q"}');
  t.equal(refusal(502, '<html>'), 'the server answered 502: <html>');
  t.equal(refusal(500, answer('x')), 'the server answered 500: {"error":"x"}');
});
