// A run of --memcg, from its server to its verdict: a guest's cgroups, told by the agent inside, compared with the guest's own kernel.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundleAgent } from '#src/agent/bundle.js';
import { writeInitramfs } from '../initramfs.ts';
import { type Log, logger } from '../log.ts';
import { EXIT } from '../options.ts';
import { network, qemuArguments, readOnlyDisk, serialPort } from '../qemu.ts';
import { problemsOf } from '../report.ts';
import { type Context, showTails } from '../run.ts';
import { type Server, type ServerExtras, startServer } from '../server.ts';
import { makeNodeDisk } from './disk.ts';
import { MEMCG, ServerFiles } from './files.ts';
import { MemcgGuest } from './guest.ts';
import { Steps } from './steps.ts';

/** Three times what it takes on two emulated cores that others use as well. */
const TIMEOUT_SECONDS = 600;
/** Node has 100 MB of text, and the guest's cgroups have about 50 MiB. */
const MEMORY_MIB = 512;
const HOGS = 4;
const LOAD = { limit_mib: 12, hog_mib: 40, more_mib: 24, file_mib: 16 } as const;

export async function runMemcgGuest(context: Context): Promise<number> {
  const base = join(context.root, 'var/vm');
  mkdirSync(base, { recursive: true });
  const folder = mkdtempSync(join(base, 'run-'));
  const log = logger('memcg');
  log(`folder ${folder}`);
  let problems: string[];
  try {
    problems = await withServer(context, folder, log);
  } catch (error) {
    problems = [(error as Error).message];
  }
  if (problems.length > 0) showTails(folder);
  for (const problem of problems) log(`FAILED: ${problem}`);
  const isKept = problems.length > 0 || context.options.keep;
  if (isKept) log(`kept ${folder}`);
  else rmSync(folder, { recursive: true });
  return problems.length === 0 ? EXIT.verified : EXIT.failed;
}

async function withServer(context: Context, folder: string, log: Log): Promise<string[]> {
  const { options, root } = context;
  const token = join(folder, 'agent.token');
  const listens = (sockets: string): string =>
    options.agentLink === 'tcp' ? 'agents.tcp=127.0.0.1:0' : `agents.unix=${agentSocket(sockets)}`;
  const extras = (sockets: string): ServerExtras => ({
    export: { memcg: MEMCG, attribution: 'agent', agentToken: token },
    // Of /q a page that does not compress has no other place; as an error it would be ENOSPC, at which QEMU stops the guest.
    set: [listens(sockets), 'onRejectNoWriteback=raw'],
  });
  const server = await startServer(options, 'blk', root, folder, extras);
  const problems: string[] = [];
  try {
    problems.push(...(await boot(context, folder, server, readFileSync(token, 'utf8'), log)));
  } finally {
    const stop = await server.stop();
    if (stop !== undefined) problems.push(stop);
  }
  return problems;
}

function agentSocket(sockets: string): string {
  return join(sockets, 'agents.sock');
}

async function boot(context: Context, folder: string, server: Server, token: string, log: Log): Promise<string[]> {
  const { root, kernel, accelerator, options } = context;
  const { control = '', sockets = '' } = server;
  const files = new ServerFiles(control);
  const steps = new Steps(files, log);
  await steps.prepare();
  const isTcp = options.agentLink === 'tcp';
  const settings = {
    ...LOAD,
    attach: 'blk',
    export: server.endpoint.name,
    // The guest finds the port of its serial line by its name.
    agent_server: isTcp ? `10.0.2.2:${await files.agentPort()}` : 'serial',
    agent_mode: 'probes',
    seed: 1,
    watchdog: TIMEOUT_SECONDS + 30,
  };
  const initramfs = join(folder, 'initramfs.cpio');
  const programs = join(root, 'scripts/guest/programs');
  writeInitramfs(initramfs, { kernel, programs, program: 'memcg', work: folder, settings });
  const disk = makeNodeDisk(folder, { 'agent.mjs': bundleAgent(), token });
  log(`booting ${kernel.name} (${accelerator}), the agent by ${options.agentLink}`);
  const args = qemuArguments({
    accelerator,
    kernel: kernel.vmlinuz,
    initramfs,
    attach: 'blk',
    endpoint: server.endpoint,
    memoryMib: MEMORY_MIB,
    more: [...readOnlyDisk(disk), ...network(), ...(isTcp ? [] : serialPort(agentSocket(sockets)))],
  });
  const guest = new MemcgGuest(folder, log, (step) => steps.take(step));
  const ending = await guest.run(args, options.timeoutSeconds ?? TIMEOUT_SECONDS);
  log(`agent: ${guest.agentStatus}`);
  rmSync(disk);
  const problems = problemsOf(guest.report, { hogs: HOGS, small: true, ...ending });
  if (!guest.fileOk) problems.push('the file on tmpfs did not come back as it was');
  if (!/ lost=0 /.test(guest.agentStatus))
    problems.push(`the agent lost events, or said nothing: ${guest.agentStatus}`);
  problems.push(...guest.problems, ...steps.problems);
  if (problems.length === 0) log('OK: every count and every limit holds, and all memory is verified');
  return problems;
}
