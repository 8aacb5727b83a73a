// What the command line of `./scripts/bench` makes of itself, and which mistakes in it are refused before anything is started.
import t from 'tap';
import { type Options, parseOptions, UsageError } from '#src/scripts/benchmark/options.js';

const parse = (...argv: string[]): Options | undefined => parseOptions(argv, ['ours', 'randread-4k-qd16']);

t.test('--scale has its own sizes, and ends by itself in minutes', async (t) => {
  t.match(parse('--scale'), { what: 'scale', repeat: 3, seconds: 2, bytes: 128 * 2 ** 20, roundsSeconds: 240 });
  t.match(parse('--scale', '--quick'), { repeat: 1, seconds: 1 });
  t.match(parse('--scale', '--corpus', 'c'), { corpus: 'c', takeCorpus: undefined });
  t.match(parse('--scale', '--take-corpus', 'c'), { corpus: undefined, takeCorpus: 'c' });
});

t.test('as many repetitions as were asked for by name are made, however long they take', async (t) => {
  t.match(parse('--scale', '--repeat', '9'), { repeat: 9, roundsSeconds: Number.POSITIVE_INFINITY });
});

t.test('the other runs are as they were', async (t) => {
  t.match(parse(), { what: 'servers', repeat: 5, seconds: 3, bytes: 512 * 2 ** 20 });
  t.match(parse('--protocols'), { what: 'protocols', repeat: 5, seconds: 3, bytes: 512 * 2 ** 20 });
});

t.test('what makes no sense together is refused', async (t) => {
  const refused = (says: RegExp, ...argv: string[]): void => {
    t.throws(() => parse(...argv), { message: says, constructor: UsageError }, argv.join(' '));
  };
  refused(/--protocols and --scale are two runs/, '--scale', '--protocols');
  refused(/--protocols and --points are two runs/, '--points', '--protocols');
  refused(/--only does not go with --scale/, '--scale', '--only', 'ours');
  refused(/--corpus goes with --scale/, '--corpus', 'c');
  refused(/--take-corpus goes with --scale/, '--take-corpus', 'c');
  refused(/--corpus and --take-corpus/, '--scale', '--corpus', 'c', '--take-corpus', 'd');
  refused(/--size 100: with --scale one of 32, 64, 128, 256, 512, 1024/, '--scale', '--size', '100');
});
