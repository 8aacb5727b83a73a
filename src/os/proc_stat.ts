/** /proc/PID/stat and /proc/PID/task/TID/stat (proc(5)). */

/** The fields after the name of the command, which may have anything in it; the state is the first. */
export function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
