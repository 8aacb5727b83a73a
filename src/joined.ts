#!/usr/bin/env node
// The start of the joined program, dist/bin/main.js (rollup.config.js). What a server and the commands for it load is in it; the
// explorer tells places in the source, and the agent reads its own modules, so these two run as they were compiled, and so
// does the soak, which no server needs.
// Invariant: as main.ts, an old Node can read it.
const modules = new URL('../main.js', import.meta.url).href;
const apart = ['explore', 'agent', 'soak'].includes(process.argv[2]);
(apart ? import(modules) : import('./main.ts')).catch((error: Error) => {
  process.stderr.write(`zswapd: ${error.message}, allowed: what scripts/build makes\n`);
  process.exitCode = 2;
});
