// The process that loop_ask.ts starts: an empty line now that it runs, and then a line of JSON for each loop device that it is
// given, as soon as it has the answer.
import { writeSync } from 'node:fs';
import { type Asked, behindLoop } from './loop_look.ts';

const [asked, ...names] = process.argv.slice(2);
writeSync(1, '\n');
for (const name of names) writeSync(1, `${JSON.stringify([name, behindLoop(name, asked as Asked)])}\n`);
