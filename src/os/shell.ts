/** Words for a shell to read: what we print for pasting has to arrive as it was meant, in sh, bash and zsh. */

/** Nothing that a shell looks at; zsh expands a word that begins with `=`. */
const PLAIN = /^[\w@%+:,./-][\w@%+=:,./-]*$/;

/** The word, in single quotes unless it needs none. */
export function shellWord(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}
