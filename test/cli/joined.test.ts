// The joined program (rollup.config.js) has every command, also those that are found by the names of their own files.
import t from 'tap';
import { run } from '../support/run_process.ts';
import { MAIN } from '../support/zswapd.ts';

for (const [args, said] of [
  [['explore', '--scenario', 'leak'], /^leak .*schedules: clean$/m],
  [['agent', '--bundle'], /^import \* as /m],
  [['config', 'check', '--set', 'lanes=99'], /^$/],
  [['--version'], /^[0-9.]+\n$/],
] as const) {
  t.test(args.join(' '), async (t) => {
    const { stdout, stderr } = await run(MAIN, [...args]);
    t.match(stdout, said);
    t.notMatch(stderr, 'Cannot find');
  });
}
