/** node-nbd-server: an NBD server and client library. */
export * from './client.ts';
export * from './connection.ts';
export * from './connection_options.ts';
export * from './counters.ts';
export * from './device.ts';
export * from './handshake.ts';
export * from './server.ts';
export * from './wire.ts';
