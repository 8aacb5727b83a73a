// Writes config/schema.json, config/OPTIONS.md and config/faults/README.md from the declarations: `node dist/config/docs.js --write`.
// Invariant: the committed files equal what this prints; a test compares them.
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { faultReference } from './fault_docs.ts';
import { REPOSITORY } from './fields.ts';
import { jsonSchema, listOptions, type Option } from './option_list.ts';

const HEAD = `# Options of zswapd

Generated from \`src/config/schema.ts\` by \`node dist/config/docs.js --write\`. Do not edit.

A config is JSON with comments; an unknown key is an error. Sizes are bytes or \`"512MiB"\` (KiB, MiB, GiB and TiB are
powers of 1024), times carry their unit (\`"10s"\`). Relative paths in a file are relative to that file, in \`--set\` to
the current directory, and defaults to the repository. Without \`--config\`, \`config/default.jsonc\` is read.

\`--set path=value\` overrides one option: \`--set pool.max=25%\`, \`--set 'exports[0].size=4GiB'\`,
\`--set memcgs.swap0.zswap.max=256MiB\`. A value that begins with \`{\`, \`[\` or \`"\` is JSON with comments, as in a file; any
other is a number, \`true\`, \`false\`, \`null\`, or else a string. Options that are strings take \`[::1]:0\` as it is too. An
index equal to the length of a list appends: \`--set 'exports[1].name=b'\`. Names with other characters go in brackets: \`--set 'memcgs["a.b"]={}'\`.

Exit code 2 and one line \`file:line:column: what is wrong, what is allowed\` for a config that is not accepted; for a flag
it is \`--set path: what is wrong, what is allowed\`.
`;

export interface GeneratedFile {
  path: string;
  text: string;
}

export function generatedFiles(): GeneratedFile[] {
  return [
    { path: resolve(REPOSITORY, 'config/schema.json'), text: `${JSON.stringify(jsonSchema(), null, 2)}\n` },
    { path: resolve(REPOSITORY, 'config/OPTIONS.md'), text: optionReference() },
    { path: resolve(REPOSITORY, 'config/faults/README.md'), text: faultReference() },
  ];
}

function optionReference(): string {
  return HEAD + listOptions().map(describe).join('');
}

function describe(option: Option): string {
  const { path, description, isGroup } = option;
  // Top-level groups are chapters; the options in them follow as a list.
  if (isGroup) return `\n## ${path}\n\n${description}\n\n`;
  const heading = path.includes('.') ? `- \`${path}\`` : `\n## ${path}\n\n- \`${path}\``;
  return `${heading} ${facts(option)}\n  ${description}\n`;
}

function facts({ allowed, unit, default: value, required, path }: Option): string {
  const parts = [];
  if (required) parts.push('**required**');
  else if (value !== undefined) parts.push(`default \`${value}\``);
  // "bytes" and "threads" are in the list of what is allowed already.
  if (unit !== '' && unit !== 'bytes') parts.push(`in ${unit}`);
  if (allowed !== '') parts.push(`allowed: ${allowed}`);
  if (parts.length === 0) throw new Error(`${path} has neither a default nor a list of what is allowed`);
  return `— ${parts.join('; ')}.`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, text } of generatedFiles()) {
    if (process.argv.includes('--write')) writeFileSync(path, text);
    else process.stdout.write(text);
  }
}
