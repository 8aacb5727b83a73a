/** Groups of this machine, by the C library's own tool: it knows every place where they may be kept, and Node knows none. */
import { spawnSync } from 'node:child_process';

/** (gid_t) -1, which is not a group. */
const NO_GROUP = 0xffff_ffff;

/** The number of a group, by its name or number; null if there is none of that name. Throws where it can't be asked. */
export function groupNumber(group: string): number | null {
  if (/^\d+$/.test(group)) return Number(group) < NO_GROUP ? Number(group) : null;
  const { status, stdout, error } = spawnSync('getent', ['group', '--', group], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  const found = /^[^:\n]*:[^:\n]*:(\d+):/.exec(stdout);
  return status === 0 && found !== null ? Number(found[1]) : null;
}
