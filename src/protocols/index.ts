/** The protocols by name, as `protocol.*` in the config names them. */
import { emptyCheck } from './empty_check.ts';
import { erase } from './erase.ts';
import { pinFirst } from './pin_first.ts';
import { pinValidate } from './pin_validate.ts';
import type { Protocols } from './protocol.ts';
import { skipEexist } from './skip_eexist.ts';

export const ENTRY_PROTOCOLS = { 'pin-validate': pinValidate } as const;
export const INVALIDATE_PROTOCOLS = { erase, 'empty-check': emptyCheck } as const;
export const BUSY_PROTOCOLS = { 'skip-eexist': skipEexist } as const;
export const SWAPOFF_PROTOCOLS = { 'pin-first': pinFirst } as const;

/** The names of one choice of protocols. */
export interface ProtocolNames {
  readonly entry: keyof typeof ENTRY_PROTOCOLS;
  readonly invalidate: keyof typeof INVALIDATE_PROTOCOLS;
  readonly busy: keyof typeof BUSY_PROTOCOLS;
  readonly swapoff: keyof typeof SWAPOFF_PROTOCOLS;
}

export function chooseProtocols(names: ProtocolNames): Protocols {
  return {
    entry: ENTRY_PROTOCOLS[names.entry],
    invalidate: INVALIDATE_PROTOCOLS[names.invalidate],
    busy: BUSY_PROTOCOLS[names.busy],
    swapoff: SWAPOFF_PROTOCOLS[names.swapoff],
  };
}
