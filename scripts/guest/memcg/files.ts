// The server's files, as `zswapd ctl` has them, for the memcgs of the guest's cgroups.
import { fetchControl } from '#src/cli/ask_control.js';
import { ctl } from '#src/cli/ctl.js';

/** The memcg of the export, which is the guest's root. */
export const MEMCG = 'swap0';

export class ServerFiles {
  private readonly control: string;

  constructor(control: string) {
    this.control = control;
  }

  private path(group: string, file: string): string {
    return `/cgroup/${MEMCG}${group === '/' ? '' : group}/${file}`;
  }

  async make(group: string): Promise<void> {
    await ctl(() => this.control, 'mkdir', `/cgroup/${MEMCG}${group}`, { parents: true });
  }

  async list(group: string): Promise<string[]> {
    return (await ctl(() => this.control, 'ls', `/cgroup/${MEMCG}${group}`, {})).trim().split('\n');
  }

  set(group: string, file: string, value: string): Promise<string> {
    return ctl(() => this.control, 'set', this.path(group, file), { value });
  }

  async current(group: string): Promise<number> {
    return Number(await ctl(() => this.control, 'get', this.path(group, 'memory.zswap.current'), {}));
  }

  /** The keys of memory.stat. */
  async stat(group: string): Promise<Readonly<Record<string, number>>> {
    const text = await ctl(() => this.control, 'get', this.path(group, 'memory.stat'), {});
    return Object.fromEntries(
      text
        .trim()
        .split('\n')
        .map((line) => line.split(' '))
        .map(([key, value]) => [key, Number(value)]),
    );
  }

  /** The port of 127.0.0.1 on which agents are listened for. */
  async agentPort(): Promise<number> {
    const { agents } = (await fetchControl(this.control, '/stats')) as { agents?: { tcp?: string | null } };
    const port = /:(\d+)$/.exec(agents?.tcp ?? '')?.[1];
    if (port === undefined) throw new Error('the server listens on no TCP port for agents');
    return Number(port);
  }
}
