// `zswapd fault apply|list|clear`: the fault plan of a running server, at /v1/faults of its control socket.
// Invariant: a plan that is refused is a line for each thing that is wrong with it, and exit 2, and changes nothing.

import { ConfigError } from '../config/load.ts';
import { readText } from '../config/source.ts';
import { FAULTS_PATH } from '../control/fault_routes.ts';
import { visible } from '../control/fs/escapes.ts';
import { askControl, fetchControl, type Question, type Row, refusal } from './ask_control.ts';
import { table } from './stats.ts';

export async function applyPlan(socket: string, file: string): Promise<string> {
  const path = `${FAULTS_PATH}?name=${encodeURIComponent(file)}`;
  return await ask(socket, { method: 'POST', path, body: readText(file, 'plan') });
}

export async function clearFaults(socket: string): Promise<string> {
  return await ask(socket, { method: 'DELETE', path: FAULTS_PATH });
}

export async function listFaults(socket: string, json: boolean): Promise<string> {
  const answer = await fetchControl(socket, FAULTS_PATH);
  if (json) return `${JSON.stringify(answer)}\n`;
  if (answer.plan === null) return 'no fault plan is in force\n';
  const faults = answer.faults as Row[];
  return `plan ${answer.plan}, seed ${answer.seed}\n\n${table(faults)}\n`;
}

function ask(socket: string, question: Question): Promise<string> {
  return askControl(socket, question, ({ status, type, text }) => {
    if (status === 200) return `${text.trim()}\n`;
    if (status !== 400 || !type.startsWith('text/plain')) throw new Error(refusal(status, text));
    throw new ConfigError(text.trimEnd().split('\n').map(visible));
  });
}
