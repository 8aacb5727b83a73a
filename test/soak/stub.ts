/** Devices for soaks of the soak: what they do wrong is planted, so what is found is known. */
import { join } from 'node:path';
import { type ByteDevice, serve } from 'node-nbd-server';
import type { Test } from 'tap';
import type { SoakOptions, Surroundings } from '#src/soak/options.js';
import { type SoakResult, soak } from '#src/soak/run.js';
import { tempFolder } from '../support/tmp.ts';

const BYTES = 8 * 2 ** 20;

/** Bytes in memory; what is given replaces methods. */
export function memoryDevice(replaced: (bytes: Buffer) => Partial<ByteDevice> = () => ({})): ByteDevice {
  const bytes = Buffer.alloc(BYTES);
  return {
    size: BYTES,
    read: (offset, into) => void bytes.copy(into, 0, offset),
    write: (offset, from) => void bytes.set(from, offset),
    trim: (offset, length) => void bytes.fill(0, offset, offset + length),
    zero: (offset, length) => void bytes.fill(0, offset, offset + length),
    flush: () => undefined,
    ...replaced(bytes),
  };
}

interface Soaked extends SoakResult {
  readonly folder: string;
  readonly told: readonly string[];
}

/** Serves a device of this process; answers its URI. */
export async function serveStub(t: Test, device: ByteDevice): Promise<string> {
  const path = join(tempFolder(t), 's');
  const server = await serve(device, { path });
  t.teardown(() => server.close(0));
  return `nbd+unix:///?socket=${path}`;
}

/** Soaks a device of this process. */
export async function soakOf(
  t: Test,
  device: ByteDevice,
  o: Partial<SoakOptions> = {},
  around: Partial<Surroundings> = {},
): Promise<Soaked> {
  const uri = await serveStub(t, device);
  const told: string[] = [];
  const report = join(tempFolder(t), 'report');
  const options: SoakOptions = {
    ...{ ms: 900, seed: 1, guest: false, rate: Number.POSITIVE_INFINITY, set: [], again: 'zswapd soak', report, uri },
    ...o,
  };
  const nobody = () => () => Promise.reject(new Error('there is nobody to ask'));
  const tell = (line: string): void => void told.push(line);
  const result = await soak(options, { ask: nobody, tell, signal: new AbortController().signal, ...around });
  return { ...result, folder: report, told };
}

export const countsOf = (line: string): Record<string, number> =>
  Object.fromEntries([...line.matchAll(/(\w+)=(\d+)/g)].map(([, name, count]) => [name, Number(count)]));
