// A guest whose programs are pushed out to swap, for their pages: it ends without a swapoff, and so the image has them after a clean stop.
import { readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { writeInitramfs } from './initramfs.ts';
import { fetchKernel } from './kernel.ts';
import { makeNodeDisk } from './memcg/disk.ts';
import { MemcgGuest } from './memcg/guest.ts';
import { parseOptions } from './options.ts';
import { probeAccelerator, qemuArguments, readOnlyDisk } from './qemu.ts';
import type { Report } from './report.ts';
import { showTails } from './run.ts';
import { type Server, startServer } from './server.ts';
import { ensureTools } from './tools.ts';

/** Three times what it takes on two emulated cores that others use as well. */
const TIMEOUT_SECONDS = 600;
/** The compiler's trees have some 150 MB, and Node 100 MB of text. */
const MEMORY_MIB = 768;

/** Returns the path of the image, in `folder`. */
export async function swapOutGuest(root: string, folder: string, say: (line: string) => void): Promise<string> {
  ensureTools(['mkfs.ext4']);
  const options = parseOptions([]);
  if (options === undefined) throw new Error('without arguments nobody asks for help');
  const server = await startServer(options, 'blk', root, folder);
  const problems: string[] = [];
  try {
    problems.push(...(await boot(root, folder, server, say)));
  } finally {
    const stop = await server.stop();
    if (stop !== undefined) problems.push(stop);
  }
  if (problems.length === 0) return join(folder, `${server.endpoint.name}.img`);
  showTails(folder);
  throw new Error(problems.join('; '));
}

async function boot(root: string, folder: string, server: Server, say: (line: string) => void): Promise<string[]> {
  const kernel = fetchKernel('stable', say);
  const accelerator = probeAccelerator();
  const initramfs = join(folder, 'initramfs.cpio');
  const programs = join(root, 'scripts/guest/programs');
  const settings = { attach: 'blk', export: server.endpoint.name, watchdog: TIMEOUT_SECONDS + 30 };
  writeInitramfs(initramfs, { kernel, programs, program: 'corpus', work: folder, settings });
  const disk = makeNodeDisk(folder, compilerFiles());
  say(`booting ${kernel.name} (${accelerator})`);
  const args = qemuArguments({
    ...{ accelerator, kernel: kernel.vmlinuz, initramfs, attach: 'blk', endpoint: server.endpoint },
    ...{ memoryMib: MEMORY_MIB, more: readOnlyDisk(disk) },
  });
  const guest = new MemcgGuest(folder, say, async () => undefined);
  const { timedOut, qemu, qemuOk } = await guest.run(args, TIMEOUT_SECONDS);
  rmSync(disk);
  const problems = [...guest.problems, ...problemsOf(guest.report)];
  if (timedOut) problems.push('the guest was ended: it took too long');
  else if (!qemuOk) problems.push(`QEMU ended with ${qemu}`);
  return problems;
}

/** The compiler that this project is built with, and sources that come with it. */
function compilerFiles(): Record<string, Buffer> {
  const lib = dirname(createRequire(import.meta.url).resolve('typescript'));
  const read = (name: string): Buffer => readFileSync(join(lib, name));
  return {
    'typescript.js': read('typescript.js'),
    'typescript.d.ts': read('typescript.d.ts'),
    'dom.d.ts': read('lib.dom.d.ts'),
    'worker.d.ts': read('lib.webworker.d.ts'),
  };
}

function problemsOf({ faults, result, poweredDown }: Report): string[] {
  if (faults.length > 0) return [`the console shows a fault: ${faults[0]}`];
  if (result?.ok !== true) return [`the guest reports failure: ${result?.text ?? 'no result'}`];
  return poweredDown ? [] : ['the guest did not power off'];
}
