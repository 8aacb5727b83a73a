// The agent as one file, for a guest: each module is a function that is called once, those first that others need. It is made of
// the compiled files, whose imports and exports are single lines at the left margin.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ENTRY = 'start.js';

/** The text of the file, an ES module. */
export function bundleAgent(folder = dirname(fileURLToPath(import.meta.url))): string {
  const builtins = new Set<string>();
  const modules: string[] = [];
  const done = new Set<string>();
  const add = (file: string): void => {
    if (done.has(file)) return;
    done.add(file);
    const body: string[] = [];
    const exported: string[] = [];
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      if (line.startsWith('//# sourceMappingURL')) continue;
      const found = /^import (.*) from ['"](.*)['"];$/.exec(line);
      const name = /^export (?:const|class|(?:async )?function\*?) (\w+)/.exec(line)?.[1];
      if (found === null && name === undefined && /^(?:import|export)\b/.test(line))
        throw new Error(`${file}: ${line}`);
      if (name !== undefined) exported.push(name);
      if (found === null) {
        body.push(line.replace(/^export /, ''));
        continue;
      }
      const [, what, from] = found;
      if (from.startsWith('./')) add(from.slice(2));
      else builtins.add(from);
      body.push(`const ${what.replaceAll(' as ', ': ')} = ${variable(from)};`);
    }
    const isEntry = file === ENTRY;
    const end = isEntry ? '' : `return { ${exported.join(', ')} };\n})();\n`;
    modules.push(`${isEntry ? '' : `const ${variable(file)} = (() => {\n`}${body.join('\n').trim()}\n${end}`);
  };
  add(ENTRY);
  return [...[...builtins].map((from) => `import * as ${variable(from)} from '${from}';`), ...modules].join('\n');
}

function variable(from: string): string {
  return `$${from.replace(/^\.\//, '').replaceAll(/\W/g, '_')}`;
}
