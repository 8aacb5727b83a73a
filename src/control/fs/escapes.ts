/**
 * Names that somebody else has chosen, as people see them: a guest may call a cgroup what it likes, but for a newline and a slash,
 * and a terminal obeys what it is sent. What would be obeyed is shown as the kernel's seq_file shows it, each byte of its UTF-8 as
 * a backslash and three octal digits: `\033` is an escape character. Paths are taken in that form as well, and in no other.
 *
 * A backslash is itself where nothing like that follows it, as in the units of systemd (`dev-disk\x2d1.swap`), and else `\134`.
 */
import { FsError } from './errors.ts';

/** Control characters, also those of eight bits; what turns the direction of text; and ends of lines of Unicode. */
const OBEYED = /[\p{Cc}\p{Bidi_C}\u2028\u2029]/gu;
const ESCAPE_NEXT = /\\(?=[0-3][0-7]{2})/g;
const ESCAPES = /(?:\\[0-3][0-7]{2})+/g;

const octal = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');

/** A name or a path that can be given back. */
export function escapeName(name: string): string {
  return visible(name.replace(ESCAPE_NEXT, octal));
}

/** A text, which stays lines; for people alone. */
export function visible(text: string): string {
  return text.replace(OBEYED, (character) => (character === '\n' ? character : octal(character)));
}

/** JSON that says the same. JSON.stringify leaves what is above 127 as it is. */
export function visibleJson(json: string): string {
  return json.replace(OBEYED, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function unescapeName(name: string): string {
  if (!name.includes('\\')) return name;
  // By bytes, because those of one character may be escaped in part.
  const parts: Buffer[] = [];
  let from = 0;
  for (const { index, 0: escapes } of name.matchAll(ESCAPES)) {
    parts.push(Buffer.from(name.slice(from, index)));
    parts.push(
      Buffer.from(
        escapes
          .split('\\')
          .slice(1)
          .map((digits) => Number.parseInt(digits, 8)),
      ),
    );
    from = index + escapes.length;
  }
  parts.push(Buffer.from(name.slice(from)));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new FsError('EINVAL', 'a name in the path is not UTF-8');
  }
}
