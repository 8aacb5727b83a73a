/**
 * Runs the foreign NBD tools of the conformance tests, and makes the data they move.
 * Invariant: a tool is ended with its test, and one that hangs is ended after its limit and reported as such.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { Test } from 'tap';
import type { Ending } from '#src/scripts/support/child.js';
import { Xorshift } from '#src/soak/random.js';
import { toolEnvironment } from '../../support/requires.ts';

/** Long for any run here, short against the patience of a CI job. */
const LIMIT_MS = 120_000;

/** Runs a command to its end. */
export function tool(
  t: Pick<Test, 'teardown'>,
  command: string,
  args: readonly string[],
  o: { cwd?: string; stdin?: string } = {},
): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { env: toolEnvironment(), ...o });
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      out.stderr += text;
    });
    const late = setTimeout(() => {
      out.stderr += `\n${command} was ended after ${LIMIT_MS / 1000} s`;
      child.kill('SIGKILL');
    }, LIMIT_MS);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(late);
      resolve({ code, signal, ...out });
    });
    t.teardown(() => child.kill('SIGKILL'));
    // A tool that does not read its input ends the pipe, which is no failure.
    child.stdin.on('error', () => child.stdin.destroy());
    child.stdin.end(o.stdin ?? '');
  });
}

/** Runs a command that has to succeed, and returns what it printed. */
export async function succeed(t: Test, command: string, args: readonly string[], o = {}): Promise<string> {
  const end = await tool(t, command, args, o);
  t.equal(end.code, 0, `${command} ${args.join(' ').slice(0, 200)}`, { ...end });
  return end.stdout;
}

/** Bytes that no compressor makes smaller, the same for the same seed. */
export function noise(seed: number, bytes: number): Buffer {
  const out = Buffer.allocUnsafe(bytes);
  let x = (seed * 2654435761 + 1) | 1;
  const random = new Xorshift(x);
  for (let at = 0; at + 4 <= bytes; at += 4) {
    x = random.word();
    out.writeUInt32LE(x, at);
  }
  for (let at = bytes & ~3; at < bytes; at++) out[at] = x >>> (8 * (at & 3));
  return out;
}

/** A file whose pages are noise, compressible text, one repeated word or a hole, by turns. */
export function writeMixedFile(path: string, bytes: number): void {
  const fd = openSync(path, 'w');
  const chunk = 64 * 1024;
  for (let at = 0, n = 0; at < bytes; at += chunk, n++) {
    const length = Math.min(chunk, bytes - at);
    if (n % 4 === 0) writeSync(fd, noise(n + 1, length), 0, length, at);
    if (n % 4 === 1) writeSync(fd, Buffer.alloc(length, `page of run ${n}, easy to pack; `), 0, length, at);
    if (n % 4 === 2) writeSync(fd, Buffer.alloc(length, n & 0xff || 1), 0, length, at);
    // The last chunk is written, so that the file has its length without a truncate.
    if (n % 4 === 3 && at + chunk >= bytes) writeSync(fd, noise(n, length), 0, length, at);
  }
  closeSync(fd);
}

export function fileHash(path: string): string {
  const fd = openSync(path, 'r');
  const hash = createHash('sha1');
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
  closeSync(fd);
  return hash.digest('hex');
}
