/**
 * node-nbd-server/device: all that a device by blocks and a list of exports need, for threads that have them and no server:
 * numbers, types, and the check of the list.
 */
export { checkExports, type ExportInfo } from './export_info.ts';
export * from './server/device.ts';
export * from './wire.ts';
