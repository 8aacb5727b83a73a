// What must not be in a file of the repository: traces of one machine, of one registry, or of a tracker that readers lack.
import type { TextFile, Violation } from './source.ts';

const TRACES: readonly { readonly pattern: RegExp; readonly rule: string }[] = [
  { pattern: /(?<![\w.$}\])~-])[/](?:work|tmp[/]helpers)(?![\w-])/, rule: 'a path of one machine' },
  { pattern: /\b(?:registry|npm|artifactory|nexus|mirrors?)\.[\w-]+\.[a-z]{2,}\b/, rule: 'the host of a registry' },
  { pattern: /\b[Ii]ssue #?\d/, rule: 'a number of a tracker that readers cannot see' },
  { pattern: /"resolved": ["]http/, rule: 'the lock file names a host: npm has omit-lockfile-registry-resolved' },
];

export function checkTraces({ path, text }: TextFile): Violation[] {
  return text.split('\n').flatMap((content, index) =>
    TRACES.filter(({ pattern }) => pattern.test(content)).map(({ pattern, rule }) => ({
      file: path,
      line: index + 1,
      rule: `${pattern.exec(content)?.[0]}: ${rule}`,
    })),
  );
}
