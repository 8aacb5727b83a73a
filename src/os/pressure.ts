/**
 * Pressure stall information: how much of the last ten seconds some task of the host has waited for memory, in percent.
 * Where it cannot be read (no CONFIG_PSI, psi=0, a container without /proc) there is no pressure, and that is said once.
 */
import { readFileSync } from 'node:fs';

export const MEMORY_PRESSURE = '/proc/pressure/memory';

export class Pressure {
  private readonly path: string;
  private readonly onUnreadable: (why: string) => void;
  private unreadable = false;

  /** `onUnreadable` is told why, and again only after it could be read in between. */
  constructor(path: string, onUnreadable: (why: string) => void) {
    this.path = path;
    this.onUnreadable = onUnreadable;
  }

  /** `some avg10`; 0 where it cannot be read. */
  percent(): number {
    const text = this.read();
    if (text === null) return 0;
    const some = /^some avg10=(\d+(?:\.\d+)?) /m.exec(text);
    if (some === null) return this.fail(`${this.path} has no line "some avg10="`);
    this.unreadable = false;
    return Number(some[1]);
  }

  private read(): string | null {
    try {
      return readFileSync(this.path, 'latin1');
    } catch (error) {
      this.fail(`${this.path} cannot be read: ${(error as Error).message}`);
      return null;
    }
  }

  private fail(why: string): number {
    if (!this.unreadable) this.onUnreadable(why);
    this.unreadable = true;
    return 0;
  }
}
