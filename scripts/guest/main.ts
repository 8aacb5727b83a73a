// ./scripts/vm: a Debian guest swaps on an NBD export until every byte of its memory has been out and back.
// What it accepts and its exit codes are in options.ts.
import { fileURLToPath } from 'node:url';
import { fetchKernel } from './kernel.ts';
import { runLowMemory } from './lowmem/run.ts';
import { runMemcgGuest } from './memcg/run.ts';
import { EXIT, HELP, type Options, parseOptions, UsageError } from './options.ts';
import { probeAccelerator } from './qemu.ts';
import { runGuest } from './run.ts';
import { ensureTools, Skip } from './tools.ts';

/** Compiled to dist/scripts/guest, three folders below the checkout. */
const root = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

async function main(options: Options): Promise<number> {
  ensureTools([
    ...(options.break === 'corrupt' ? (['qemu-io'] as const) : []),
    ...(options.server === 'nbdkit' ? (['nbdkit'] as const) : []),
    ...(options.memcg || options.lowMemory ? (['mkfs.ext4'] as const) : []),
  ]);
  const say = (line: string): void => void process.stdout.write(`vm: ${line}\n`);
  const codes: number[] = [];
  for (const choice of options.kernels) {
    const context = { root, options, kernel: fetchKernel(choice, say), accelerator: probeAccelerator() };
    if (options.lowMemory) codes.push(await runLowMemory(context));
    else if (options.memcg) codes.push(await runMemcgGuest(context));
    else for (const attach of options.attach) codes.push(await runGuest(context, attach));
  }
  return codes.find((code) => code === EXIT.failed) ?? codes[0];
}

// The handlers of 'exit' end the children.
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.on(signal, () => process.exit(128 + number));
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(HELP);
  else process.exitCode = await main(options);
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`vm: ${error.message}\n`);
    process.exitCode = EXIT.usage;
  } else if (error instanceof Skip) {
    process.stdout.write(`vm: skipped: ${error.message}\n`);
    process.exitCode = EXIT.skipped;
  } else {
    throw error;
  }
}
