/** The header comment of a source file as markdown: paragraphs, and what is indented as a block of its own. */

/** What a header says in a fixed place; each starts a paragraph. */
const LABEL = /(?:^|(?<=\. ))((?:Who frees|Lock order|States|Known weakness|Cost|Why|Discussed)\b[^:.]*:)/g;

function headerOf(source: string): string[] {
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(source)?.[1];
  if (comment === undefined) throw new Error('a source without a header comment');
  return comment
    .replace(/\s+$/, '')
    .split('\n')
    .map((line) => line.replace(/^ \* ?/, '').trimEnd());
}

function isIndented(line: string): boolean {
  return line.startsWith('  ');
}

/** Lines that belong together: a paragraph in one line, or the lines of a block. */
function blocksOf(source: string): string[] {
  const blocks: string[][] = [[]];
  for (const line of headerOf(source)) {
    const last = blocks[blocks.length - 1];
    // A blank line ends a paragraph, but not a block that goes on after it.
    if (line === '') blocks.push([]);
    else if (last.length > 0 && isIndented(line) !== isIndented(last[0])) blocks.push([line]);
    else last.push(line);
  }
  const filled = blocks.filter((block) => block.length > 0);
  return filled.map((block) => (isIndented(block[0]) ? block.join('\n') : block.map((line) => line.trim()).join(' ')));
}

export function proseOf(source: string): string {
  return blocksOf(source)
    .map((block) =>
      isIndented(block)
        ? `\`\`\`\n${block.replace(/^ {2}/gm, '')}\n\`\`\``
        : block.replace(LABEL, '\n\n**$1**').replace(/ +\n/g, '\n').trim(),
    )
    .join('\n\n');
}

/** Where the protocol comes from, and what it does in a sentence. Protocols that share a file have a line each. */
export function ideaOf(source: string, name: string): { from: string; idea: string } {
  const blocks = blocksOf(source);
  const [, from, rest] = /^[^(]*\((.*?)\): (.*)$/.exec(blocks[0]) ?? [];
  if (from === undefined)
    throw new Error(`${name}: its header does not begin with "KIND protocol (WHERE FROM): IDEA."`);
  const own = new RegExp(`^  ${name} +(?:\\(\\w+\\) +)?(.*)$`, 'm').exec(blocks.slice(1).join('\n'))?.[1];
  const sentence = own ?? /^.*?(?=\.(?: [A-Z"\d]|$))/.exec(rest)?.[0] ?? rest;
  return { from, idea: `${sentence[0].toUpperCase()}${sentence.slice(1)}.` };
}
