/** A guest's machine: QEMU, whose console is kept in the folder of the run and handed on line by line. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Child, type ChildOptions } from '../support/child.ts';
import { byLine, mortal } from './children.ts';
import { toolPath } from './tools.ts';

/** One that is booted again goes on in the same console.log. */
export function startMachine(
  folder: string,
  args: readonly string[],
  take: (line: string) => void,
  stdio?: ChildOptions['stdio'],
): Child {
  const [program, ...rest] = mortal(toolPath('qemu-system-x86_64'), args);
  const file = openSync(join(folder, 'console.log'), 'a');
  const lines = byLine(take);
  const qemu = new Child(program, rest, {
    ...(stdio === undefined ? {} : { stdio }),
    out: (text) => {
      writeSync(file, text);
      lines(text);
    },
    err: (text) => void writeSync(file, text),
  });
  void qemu.ended.then(() => closeSync(file));
  return qemu;
}
