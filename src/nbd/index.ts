export * from './client.ts';
export * from './device.ts';
export * from './handshake.ts';
export * from './wire.ts';
