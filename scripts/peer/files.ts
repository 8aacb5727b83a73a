/** The files by which filters of nbdkit are steered and asked. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

export const touch = (path: string): void => writeFileSync(path, '');
export const withdraw = (path: string): void => rmSync(path, { force: true });
export const readText = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
