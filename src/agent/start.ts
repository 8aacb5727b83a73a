// What `node agent/start.js` and the bundled file run.
import { runAgent } from './main.ts';

process.exitCode = await runAgent(process.argv.slice(2), (text) => void process.stdout.write(text));
