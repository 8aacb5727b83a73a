/** What this process may do, and commands that run something with less of it. */
import { readFileSync } from 'node:fs';

/** Bits of linux/capability.h. */
const CAPABILITIES = { ipc_lock: 14, sys_resource: 24 } as const;
type Capability = keyof typeof CAPABILITIES;

export function capable(name: Capability): boolean {
  const line = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return ((BigInt(`0x${line?.[1] ?? '0'}`) >> BigInt(CAPABILITIES[name])) & 1n) === 1n;
}

/** A command that runs what follows it without a capability, and `first` before that. */
export function withoutRights(name: Capability, first: readonly string[] = []): readonly string[] {
  if (!capable(name)) return first;
  return [...first, 'setpriv', `--bounding-set=-${name}`, `--inh-caps=-${name}`];
}
