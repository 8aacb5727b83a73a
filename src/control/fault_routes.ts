/**
 * /v1/faults: GET tells what is in force and what it has done, with ?after=N the events behind number N alone, and after a clear
 * what came of the plan that was; POST replaces the plan
 * by that of the body, all of it or nothing; DELETE clears it. A plan that is refused is answered with 400 and a line for each
 * thing that is wrong with it.
 */
import { ControlError } from './error.ts';

export const FAULTS_PATH = '/v1/faults';

/** Why a plan was not taken. */
export class PlanRefused extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems[0]);
    this.problems = problems;
  }
}

export interface FaultRoutes {
  /** Null: what is in force alone. After a clear a number is told the rest of the plan that was. */
  status(after: number | null): object;
  /** `name`: what lines about the text begin with. Throws PlanRefused. */
  replace(name: string, text: string): object;
  clear(): object;
}

type Answer = { readonly json: object } | { readonly refused: readonly string[] };

export const FAULT_METHODS = ['GET', 'POST', 'DELETE'] as const;

/** Throws a ControlError where something else is asked. */
export function answerFaults(faults: FaultRoutes, method: string, query: URLSearchParams, body: Buffer): Answer {
  if (method === 'DELETE') return { json: faults.clear() };
  if (method === 'GET') return { json: faults.status(afterOf(query)) };
  try {
    return { json: faults.replace(query.get('name') ?? 'plan', textOf(body)) };
  } catch (error) {
    if (!(error instanceof PlanRefused)) throw error;
    return { refused: error.problems };
  }
}

function afterOf(query: URLSearchParams): number | null {
  const after = query.get('after');
  if (after === null) return null;
  if (!/^\d{1,10}$/.test(after))
    throw new ControlError(400, `after is ${JSON.stringify(after)}, allowed: a number of an event`);
  return Number(after);
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ControlError(400, 'the plan is not UTF-8');
  }
}
