// What a report says of where it was made: versions, processor, commit.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, version } from 'node:os';
import { resolve } from 'node:path';
import { REPOSITORY } from '../config/fields.ts';

interface Provenance {
  readonly zswapd: string;
  readonly commit: string;
  readonly node: string;
  readonly kernel: string;
  readonly cpu: string;
  readonly memory: string;
}

export function provenance(): Provenance {
  const models = cpus();
  return {
    zswapd: JSON.parse(readFileSync(resolve(REPOSITORY, 'package.json'), 'utf8')).version,
    commit: commitOf(),
    node: process.version,
    kernel: `${release()} ${version()}`,
    cpu: `${models.length} × ${models[0]?.model.trim() ?? 'unknown'}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  };
}

/** An installed package has no history, and says so. */
function commitOf(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', REPOSITORY, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    const dirty = git('status', '--porcelain') === '' ? '' : ', with changes that are not committed (dirty)';
    return `${git('rev-parse', 'HEAD')}${dirty}`;
  } catch {
    return 'unknown: no git checkout';
  }
}
