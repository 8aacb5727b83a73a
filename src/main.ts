#!/usr/bin/env node
// The start of every command: whether this Node and the limits of this process are enough, then the command line.
// Invariant: this file and requirements.ts are all that is loaded before the question, and an old Node can read them: no
// syntax that is younger than dynamic import. Whatever can't be loaded is one line on stderr.
import { readFileSync } from 'node:fs';
import { descriptorProblem, loadProblem, NODE_WANTED, nodeProblem, optionsProblem } from './config/requirements.ts';

const USAGE = 2;
const INTERNAL = 70;

function problem(): string | null {
  const found = nodeProblem(process.versions.node, NODE_WANTED) || optionsProblem(process.permission);
  if (found !== null) return found;
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch (error) {
    return `can't read what this process may use: ${(error as Error).message}, allowed: a system with /proc`;
  }
  return descriptorProblem(limits);
}

function end(code: number, line: string): void {
  process.stderr.write(`zswapd: ${line}\n`);
  process.exitCode = code;
}

function main(): void {
  // Node would throw it, and end with 1. It is about the only place that it could be reported to.
  process.stderr.on('error', () => undefined);
  const found = problem();
  if (found !== null) {
    end(USAGE, found);
    return;
  }
  import('./cli/command_line.ts')
    .then(({ runCommandLine }) => runCommandLine())
    .then((code) => {
      // The loop is left to run dry, so that what was written to a pipe arrives.
      process.exitCode = code;
    })
    .catch((error: Error) => {
      const cause = loadProblem(error);
      end(cause === null ? INTERNAL : USAGE, cause === null ? `internal fault: ${error.stack}` : cause);
    });
}

main();
