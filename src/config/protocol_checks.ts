// Which protocols may run: what makes no sense is refused with the reason, what is broken needs `unsafe: true`.
// Invariant: the server that starts with a broken choice says in one line what will go wrong.
import { broken, meaningless, needsThreads, type Objection } from '../protocols/combinations.ts';
import { PRESETS } from '../protocols/presets.ts';
import type { Problem } from './option_path.ts';
import type { Config } from './schema.ts';

export function checkProtocols({ protocol, lanes, unsafe }: Config): Problem[] {
  const refused = [...meaningless(protocol), ...(lanes === 0 ? needsThreads(protocol) : [])];
  if (refused.length > 0) return refused.map((one) => problem(protocol, one, one.text));
  const [worst] = unsafe ? [] : broken(protocol);
  if (worst === undefined) return [];
  return [problem(protocol, worst, `${worst.text}, allowed: only with unsafe: true`)];
}

/** A choice that nobody wrote because the preset made it is the preset's. */
function problem({ preset }: Config['protocol'], { key }: Objection, message: string): Problem {
  const byPreset = preset !== null && key in PRESETS[preset];
  return { path: ['protocol', byPreset ? 'preset' : key], message };
}

/** What is going to go wrong, or null for a choice that holds. */
export function protocolWarning(config: Config): string | null {
  const found = broken(config.protocol);
  if (found.length === 0) return null;
  return `unsafe protocols: ${found.map(({ key, text }) => `${key}: ${text}`).join('; ')}`;
}
