// What agents and the exports that they speak of must fulfil together.
import { isLoopback } from './loopback.ts';
import type { Problem } from './option_path.ts';
import type { Config } from './schema.ts';

const LOOPBACK = '127.0.0.1, [::1] or localhost';

export function checkAgents(config: Config): Problem[] {
  const { agents, exports } = config;
  const problems = [...checkListener(config), ...checkTokens(config)];
  const named = exports.findIndex(({ attribution }) => attribution === 'agent');
  const listens = agents.unix !== null || agents.tcp !== null;
  if (named >= 0 && !listens) {
    const message = '"agent" has nobody to hear one, allowed: with agents.unix or agents.tcp';
    problems.push({ path: ['exports', named, 'attribution'], message });
  }
  if (named < 0 && listens) {
    const path = ['agents', agents.unix !== null ? 'unix' : 'tcp'];
    problems.push({ path, message: 'does nothing, allowed: null, or an export with attribution: "agent"' });
  }
  return problems;
}

function checkListener({ agents, listen, control, exports }: Config): Problem[] {
  const problems: Problem[] = [];
  const { unix, tcp } = agents;
  if (tcp !== null && !isLoopback(tcp.host)) {
    problems.push({ path: ['agents', 'tcp'], message: `${tcp.host} is not a loopback address, allowed: ${LOOPBACK}` });
  }
  if (unix === null) return problems;
  const of = unix === listen.unix ? 'listen.unix' : unix === control.listen ? 'control.listen' : null;
  if (of !== null) {
    problems.push({ path: ['agents', 'unix'], message: `is the socket of ${of}, allowed: another path` });
  }
  if (exports.some(({ image }) => image === unix)) {
    problems.push({ path: ['agents', 'unix'], message: 'is the path of an image too, allowed: another path' });
  }
  return problems;
}

/** A token is one export's, and a file that holds nothing else. */
function checkTokens({ exports, listen, control, agents }: Config): Problem[] {
  const problems: Problem[] = [];
  const taken = new Map<string, string>();
  for (const path of [listen.unix, control.listen, agents.unix]) if (path !== null) taken.set(path, 'a socket');
  for (const [index, { image }] of exports.entries()) taken.set(image, `the image of exports[${index}]`);
  for (const [index, { attribution, agentToken }] of exports.entries()) {
    const path = ['exports', index, 'agentToken'];
    if (attribution === 'agent' && agentToken === null) {
      problems.push({ path, message: 'is missing, allowed: a file for attribution: "agent"' });
    }
    if (agentToken === null) continue;
    const of = taken.get(agentToken);
    if (attribution !== 'agent') {
      const message = `does nothing with attribution: ${JSON.stringify(attribution)}, allowed: attribution: "agent"`;
      problems.push({ path, message });
    } else if (of !== undefined) {
      problems.push({ path, message: `${agentToken} is ${of} too, allowed: a file of its own` });
    }
    taken.set(agentToken, `the token of exports[${index}]`);
  }
  return problems;
}
