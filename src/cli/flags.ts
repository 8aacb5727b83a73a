// Options that several commands have, and what they come to.
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type Loaded, loadConfig } from '../config/load.ts';
import { EXIT, ExitError } from '../os/exit_error.ts';

export interface ConfigFlags {
  config?: string;
  set: string[];
}

/** Of commands that ask a running server. */
export interface StatsFlags extends ConfigFlags {
  json?: boolean;
  check?: boolean;
  classes?: boolean;
  control?: string;
}

/** --set, which may be given several times. */
export function settings(form: string, text: string): Option {
  return new Option(`--set ${form}`, text).argParser(collect).default([], 'none');
}

export function withConfig(command: Command): Command {
  return command
    .option('--config <file>', 'config file (default: config/default.jsonc)')
    .addOption(settings('<path=value>', 'set one option, such as pool.max=25%; repeatable'));
}

/** Of commands that ask a running server. */
export function withControl(command: Command): Command {
  return withConfig(command).option(
    '--control <path>',
    'control socket of the server (default: control.listen of the config)',
  );
}

function collect(value: string, previous: string[]): string[] {
  return [...previous, value];
}

export function load(flags: ConfigFlags): Loaded {
  return loadConfig({ file: flags.config, set: flags.set });
}

/** Where the server is asked. */
export function controlSocket(flags: StatsFlags): string {
  if (flags.control === '') throw new ExitError(EXIT.usage, '--control: is empty, allowed: the path of a socket');
  if (flags.control !== undefined) return resolve(flags.control);
  const path = load(flags).config.control.listen;
  if (path === null)
    throw new ExitError(EXIT.usage, 'control.listen: is null, so there is no server to ask, allowed: --control PATH');
  return path;
}
