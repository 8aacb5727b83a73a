/** Sessions that have shown a fault, each with what it was. They are played before any new one is made. */
import type { RequestStep, Session } from './session.ts';

const asked = (type: number, offset: number, length: number): RequestStep => ({
  type,
  flags: 0,
  cookie: [0, type],
  offset: [0, offset],
  length,
  surplus: 0,
  fill: 1,
});

export const KEPT: readonly { readonly fault: string; readonly session: Session }[] = [
  {
    fault: 'a DISC that is read when its client has gone and its socket is closed was watched for ever',
    session: {
      server: 3,
      device: 'soon',
      flags: 3,
      options: [{ code: 7, data: { kind: 'info', name: 'ram', infos: [] }, lies: [0, 0, 0] }],
      requests: [asked(1, 133_424, 94_208), asked(6, 458_752, 57_344), asked(0, 455_798, 131_072), asked(2, 0, 0)],
      damage: [],
      cuts: [153, 994, 4],
      until: 1000,
      deaf: true,
      ending: 'leave',
    },
  },
];
