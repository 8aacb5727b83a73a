// What a real server does so that its machine treats it as one that holds the memory of guests, and says of it.
import { readdirSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { bytesWith, mappingsOf, residentWith } from '../support/mappings.ts';
import { failedStart, startServer } from '../support/one_thread.ts';
import { capable, withoutRights } from '../support/rights.ts';
import { runCommand } from '../support/run_process.ts';
import { tempFolder } from '../support/tmp.ts';
import { type RunningServer, type ServerOptions, serverArguments } from '../support/zswapd.ts';

const MIB = 2 ** 20;
const POOL = 256 * MIB;
const OPTIONS = ['lockMemory', 'dontDump', 'oomScoreAdj', 'ioFlusher'];

const oomScoreAdj = (pid: number | 'self'): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'latin1'));

/** Of a line that a server says of one option. */
async function said(server: RunningServer, option: string): Promise<{ state: string; msg: string }> {
  const [line] = await server.logged(`process.${option}: `);
  return JSON.parse(line ?? '{}');
}

/** A start and a check of the config both refuse with this one line, and leave the folder as it was. */
async function bothRefuse(t: Test, o: ServerOptions, line: RegExp): Promise<void> {
  const folder = tempFolder(t);
  const { code, stdout, stderr } = await failedStart(t, { ...o, folder });
  t.match({ code, stdout }, { code: 2, stdout: '' }, stderr);
  t.match(stderr, line);
  t.same(readdirSync(folder), [], 'nothing was created');
  const [main, , ...set] = serverArguments(folder, { ...o, set: ['lanes=0', ...(o.set ?? [])] });
  const [program, ...args] = [...(o.wrap ?? []), process.execPath, main, 'config', 'check', ...set];
  const check = await runCommand(program, args);
  t.match(check, { code: 2, stdout: '', stderr }, 'in the same words');
  t.same(readdirSync(folder), [], 'nothing was created');
}

t.test('the pool is locked and left out of core dumps, and takes no memory by that', async (t) => {
  const skip = capable('ipc_lock') ? false : 'needs CAP_IPC_LOCK';
  t.test('locked', { skip }, async (t) => {
    const server = await startServer(t, { size: '8MiB', set: [`pool.max=${POOL}`, 'process.lockMemory=required'] });
    const mappings = mappingsOf(server.pid);
    const { process: care } = await server.stats();
    t.same(Object.keys(care), OPTIONS);
    t.equal(care.lockMemory.state, 'done');
    t.ok(care.lockMemory.bytes > POOL, `${care.lockMemory.bytes} bytes`);
    t.equal(bytesWith(mappings, 'lo'), care.lockMemory.bytes);
    t.ok(bytesWith(mappings, 'dd') >= care.lockMemory.bytes);
    const resident = residentWith(mappings, 'lo');
    t.ok(resident < 16 * MIB, `${resident} bytes are in RAM`);
    t.match(await said(server, 'lockMemory'), { state: 'done', msg: /^process\.lockMemory: done: what is touched of/ });
    t.match(await said(server, 'dontDump'), { state: 'done' });
    t.equal((await server.stop()).code, 0);
  });
});

t.test('a limit of locked memory that is too low', async (t) => {
  const wrap = withoutRights('ipc_lock', ['prlimit', `--memlock=${MIB}:${MIB}`]);
  t.test('is told of, and nothing is locked', async (t) => {
    const server = await startServer(t, { size: '8MiB', wrap });
    t.equal(bytesWith(mappingsOf(server.pid), 'lo'), 0);
    const why = /MiB of address space needs CAP_IPC_LOCK, or a higher limit \(ulimit -l, LimitMEMLOCK\) than 1MiB$/;
    const { state, msg } = await said(server, 'lockMemory');
    t.equal(state, 'not permitted');
    t.match(msg, why);
    t.match((await server.stats()).process.lockMemory, { state: 'not permitted', detail: why });
    t.equal((await server.stop()).code, 0);
  });
  await bothRefuse(
    t,
    { size: '8MiB', wrap, set: ['process.lockMemory=required'] },
    /--set process\.lockMemory: not permitted: \S+ of address space needs CAP_IPC_LOCK.*, allowed: "try" or "off"\n$/,
  );
});

t.test('what is off is left as it was, and said to be', async (t) => {
  const set = OPTIONS.map((option) => `process.${option}=${option === 'oomScoreAdj' ? 'null' : 'off'}`);
  const server = await startServer(t, { size: '8MiB', set });
  t.equal(bytesWith(mappingsOf(server.pid), 'lo'), 0);
  for (const option of ['lockMemory', 'dontDump', 'oomScoreAdj']) t.equal((await said(server, option)).state, 'off');
  t.equal(oomScoreAdj(server.pid), oomScoreAdj('self'));
  t.equal((await server.stop()).code, 0);
});

t.test('oom_score_adj', async (t) => {
  const higher = oomScoreAdj('self') + 7;
  t.test('is set where it may be', async (t) => {
    const set = [`process.oomScoreAdj=${higher}`, 'process.oomScoreAdjRequired=true'];
    const server = await startServer(t, { size: '8MiB', set });
    t.equal(oomScoreAdj(server.pid), higher);
    t.match((await server.stats()).process.oomScoreAdj, { state: 'done', adj: higher });
    t.equal((await server.stop()).code, 0);
  });
  const lower = { size: '8MiB', wrap: withoutRights('sys_resource'), set: ['process.oomScoreAdj=-999'] };
  t.test('is told of where it may not', async (t) => {
    const server = await startServer(t, lower);
    t.equal(oomScoreAdj(server.pid), oomScoreAdj('self'));
    t.match(await said(server, 'oomScoreAdj'), {
      state: 'not permitted',
      msg: /-999 in place of -?\d+ needs CAP_SYS_RES/,
    });
    t.equal((await server.stop()).code, 0);
  });
  const set = [...lower.set, 'process.oomScoreAdjRequired=true'];
  await bothRefuse(
    t,
    { ...lower, set },
    /process\.oomScoreAdj: not permitted: .*, allowed: process\.oomScoreAdjRequired: f/,
  );
});

t.test('an I/O flusher that is required and not permitted', async (t) => {
  const set = ['process.ioFlusher=required'];
  const line =
    /process\.ioFlusher: not permitted: PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE, allowed: "try" or "off"\n$/;
  await bothRefuse(t, { size: '8MiB', wrap: withoutRights('sys_resource'), set }, line);
});
