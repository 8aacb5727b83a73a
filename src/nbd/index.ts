export * from './client.ts';
export * from './handshake.ts';
export * from './wire.ts';
