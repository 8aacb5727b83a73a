/**
 * One zram device, borrowed for the length of a row and put back as it was: unused, with its size at zero. Setting the size is
 * the claim, because the kernel refuses it with EBUSY on a device that somebody has set up.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { capture } from '../support/child.ts';

export const ZRAM = 'zram0';
let claimed = false;
let moduleLoaded = false;
/** What the device had, where we have chosen another one. */
let algorithmBefore: string | undefined;

export async function whyNoZram(): Promise<string | undefined> {
  if (process.getuid!() !== 0) return 'zram needs root';
  if (!existsSync(`/dev/${ZRAM}`)) {
    if ((await capture('modprobe', 'zram', 'num_devices=1')) === undefined) return 'the kernel has no zram';
    moduleLoaded = true;
    // udev makes the node a moment after the module has made the device.
    for (let i = 0; i < 50 && !existsSync(`/dev/${ZRAM}`); i++) await delay(20);
    if (!existsSync(`/dev/${ZRAM}`)) return `/dev/${ZRAM} did not appear`;
  }
  const size = readFileSync(`/sys/block/${ZRAM}/disksize`, 'utf8').trim();
  return size === '0' ? undefined : `/dev/${ZRAM} is in use`;
}

/** With an algorithm of zramAlgorithms, or the one that the device has. */
export function claimZram(bytes: number, algorithm = zramAlgorithm()): void {
  const before = zramAlgorithm();
  if (algorithm !== undefined && algorithm !== before) {
    // It can be chosen as long as the device has no size, and so its claim comes after it.
    writeFileSync(ALGORITHM, algorithm);
    algorithmBefore = before;
  }
  writeFileSync(`/sys/block/${ZRAM}/disksize`, String(bytes));
  claimed = true;
}

export function releaseZram(): void {
  if (claimed) writeFileSync(`/sys/block/${ZRAM}/reset`, '1');
  claimed = false;
  if (algorithmBefore !== undefined) writeFileSync(ALGORITHM, algorithmBefore);
  algorithmBefore = undefined;
}

/** The last step of the run: the module goes too when it came by us. */
export function leaveZram(): void {
  releaseZram();
  if (moduleLoaded) execFileSync('modprobe', ['-r', 'zram']);
  moduleLoaded = false;
}

const ALGORITHM = `/sys/block/${ZRAM}/comp_algorithm`;

/** Those that this kernel offers; the one that the device has comes first. */
export function zramAlgorithms(): string[] {
  if (!existsSync(ALGORITHM)) return [];
  const words = readFileSync(ALGORITHM, 'utf8').trim().split(/\s+/);
  const named = words.map((word) => word.replace(/^\[|\]$/g, ''));
  return named.sort((a, b) => Number(words.includes(`[${b}]`)) - Number(words.includes(`[${a}]`)));
}

export const zramAlgorithm = (): string | undefined => zramAlgorithms()[0];
