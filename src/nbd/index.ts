/** node-nbd-server: an NBD server and client library. */
export * from './client/client.ts';
export * from './server/byte_device.ts';
export * from './server/connection.ts';
export * from './server/connection_options.ts';
export * from './server/counters.ts';
export * from './server/device.ts';
export * from './server/handshake.ts';
export type { Mishap, ReplyMishaps, ReplyRequest } from './server/mishaps.ts';
export { onPageMemory } from './server/page_memory.ts';
export * from './server/serve.ts';
export * from './server/server.ts';
export * from './wire.ts';
