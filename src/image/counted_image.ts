/** Counts the pages that one thread reads from an image and writes to it, by export: what the image took, not what was asked. */
import { EXPORTS_MAX, THREADS_MAX } from '../pool/limits.ts';
import { float64 } from '../shm/columns.ts';
import type { Image } from './image.ts';

/** For each thread a row of two counts per export, written by that thread only. */
export type ImageTraffic = Float64Array;

const READ = 0;
const WRITTEN = 1;
const COUNTS = 2;
const ROW = EXPORTS_MAX * COUNTS;

export function createImageTraffic(): ImageTraffic {
  return float64(THREADS_MAX * ROW);
}

export function imagePages(traffic: ImageTraffic, x: number): { read: number; written: number } {
  let read = 0;
  let written = 0;
  for (let at = x * COUNTS; at < traffic.length; at += ROW) {
    read += traffic[at + READ];
    written += traffic[at + WRITTEN];
  }
  return { read, written };
}

/** The image of export `x` as `thread` has it, counted in its row. */
export function countPages(image: Image, traffic: ImageTraffic, thread: number, x: number): Image {
  const at = thread * ROW + x * COUNTS;
  return {
    direct: image.direct,
    get punches() {
      return image.punches;
    },
    read: (slot, count, dst, to, done) =>
      image.read(slot, count, dst, to, (errno) => {
        if (errno === 0) traffic[at + READ] += count;
        done(errno);
      }),
    write: (slot, pages, done) =>
      image.write(slot, pages, (errno) => {
        if (errno === 0) traffic[at + WRITTEN] += pages.length;
        done(errno);
      }),
    punch: (slot, count, done) => image.punch(slot, count, done),
    zero: (slot, count, done) => image.zero(slot, count, done),
    sync: (done) => image.sync(done),
    close: () => image.close(),
  };
}
