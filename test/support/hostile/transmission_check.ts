/**
 * The replies to requests, in both forms. They may come in any order, and chunks of several may be mixed; a cookie says which
 * request is meant. Where a client has used one twice, any of its requests may be meant that goes with what came.
 */
import * as wire from 'node-nbd-server';
import type { ExpectedRequest } from './expected_requests.ts';
import { must, type Reading } from './forbidden.ts';

const ERRORS: ReadonlySet<number> = new Set([
  wire.NBD_EPERM,
  wire.NBD_EIO,
  wire.NBD_ENOMEM,
  wire.NBD_EINVAL,
  wire.NBD_ENOSPC,
  wire.NBD_EOVERFLOW,
  wire.NBD_ENOTSUP,
  wire.NBD_ESHUTDOWN,
]);
const MAX_CHUNK = 32 * 1024 * 1024 + 8;

/** Requests that are not answered yet. */
class Owed {
  readonly #byCookie = new Map<string, ExpectedRequest[]>();
  left: number;

  constructor(requests: readonly ExpectedRequest[]) {
    this.left = requests.length;
    for (const request of requests) {
      const same = this.#byCookie.get(request.cookie);
      if (same === undefined) this.#byCookie.set(request.cookie, [request]);
      else same.push(request);
    }
  }

  of(cookie: string): readonly ExpectedRequest[] {
    const all = this.#byCookie.get(cookie) ?? [];
    must(all.length > 0, `a reply to cookie ${cookie}, which no request waits for`);
    return all;
  }

  answered(request: ExpectedRequest): void {
    const all = this.#byCookie.get(request.cookie)!;
    all.splice(all.indexOf(request), 1);
    this.left--;
  }
}

function checkError(requests: readonly ExpectedRequest[], error: number): ExpectedRequest {
  must(ERRORS.has(error), `error ${error}, which the protocol does not have`);
  const request = requests.find(({ errors }) => errors.includes(error));
  const [{ type, flags, offset, length }] = requests;
  must(request !== undefined, `error ${error} to command ${type}, flags ${flags}, of ${length} bytes at ${offset}`);
  return request;
}

function checkContent({ content, offset }: ExpectedRequest, from: number, data: Buffer): void {
  if (content === null) return;
  const want = content.subarray(from - offset, from - offset + data.length);
  must(want.equals(data), `other bytes than were written, in ${data.length} at ${from}`);
}

const good = (requests: readonly ExpectedRequest[]): ExpectedRequest[] =>
  requests.filter(({ errors }) => errors.length === 0);

export class SimpleReplies {
  readonly #owed: Owed;
  readonly #bytes: number;

  constructor(requests: readonly ExpectedRequest[]) {
    this.#owed = new Owed(requests);
    const payload = good(requests).filter(({ type }) => type === wire.NBD_CMD_READ);
    this.#bytes = payload.reduce((sum, { length }) => sum + length, 16 * requests.length);
  }

  *read(): Reading {
    for (let left = this.#bytes; left > 0; ) {
      const head: Buffer = yield 16;
      left -= 16;
      must(head.readUInt32BE(0) === wire.NBD_SIMPLE_REPLY_MAGIC, 'no magic in front of a simple reply');
      const requests = this.#owed.of(head.toString('hex', 8, 16));
      const error = head.readUInt32BE(4);
      if (error !== 0) {
        this.#owed.answered(checkError(requests, error));
        continue;
      }
      const candidates = good(requests);
      must(candidates.length > 0, `command ${requests[0].type} succeeds, and has to fail`);
      const lengths = candidates.map(({ type, length }) => (type === wire.NBD_CMD_READ ? length : 0));
      if (new Set(lengths).size > 1) {
        // Nobody can tell which it is, nor where the next one begins: only that it all comes.
        yield left;
        return;
      }
      const data: Buffer = lengths[0] === 0 ? Buffer.alloc(0) : yield lengths[0];
      left -= data.length;
      if (candidates.length === 1) checkContent(candidates[0], candidates[0].offset, data);
      this.#owed.answered(candidates[0]);
    }
  }
}

/** What has come of one READ or BLOCK_STATUS. */
interface Part {
  readonly ranges: [number, number][];
  status: boolean;
}

export class StructuredReplies {
  readonly #owed: Owed;
  readonly #parts = new Map<string, Part>();

  constructor(requests: readonly ExpectedRequest[]) {
    this.#owed = new Owed(requests);
  }

  *read(): Reading {
    while (this.#owed.left > 0) {
      const head: Buffer = yield 20;
      must(head.readUInt32BE(0) === wire.NBD_STRUCTURED_REPLY_MAGIC, 'no magic in front of a chunk');
      const [flags, type, length] = [head.readUInt16BE(4), head.readUInt16BE(6), head.readUInt32BE(16)];
      must((flags & ~wire.NBD_REPLY_FLAG_DONE) === 0, `chunk flags ${flags}`);
      must(length <= MAX_CHUNK, `a chunk of ${length} bytes`);
      const cookie = head.toString('hex', 8, 16);
      const requests = this.#owed.of(cookie);
      const data: Buffer = length === 0 ? Buffer.alloc(0) : yield length;
      const part = this.#parts.get(cookie) ?? { ranges: [], status: false };
      this.#parts.set(cookie, part);
      const error = this.#chunk(requests, part, type, data);
      if ((flags & wire.NBD_REPLY_FLAG_DONE) === 0) {
        must(type !== wire.NBD_REPLY_TYPE_NONE, 'an empty chunk that is not the last one');
        continue;
      }
      const request = error === 0 ? this.#whole(requests, part) : checkError(requests, error);
      this.#owed.answered(request);
      this.#parts.delete(cookie);
    }
  }

  /** Returns the error that a chunk tells, 0 for none. */
  #chunk(requests: readonly ExpectedRequest[], part: Part, type: number, data: Buffer): number {
    const reads = good(requests).filter((one) => one.type === wire.NBD_CMD_READ);
    if (type === wire.NBD_REPLY_TYPE_ERROR || type === wire.NBD_REPLY_TYPE_ERROR_OFFSET) {
      must(data.length >= 6 && data.readUInt16BE(4) <= data.length - 6, 'an error chunk that is too short');
      checkError(requests, data.readUInt32BE(0));
      return data.readUInt32BE(0);
    }
    if (type === wire.NBD_REPLY_TYPE_NONE) {
      must(data.length === 0, 'an empty chunk with data');
    } else if (type === wire.NBD_REPLY_TYPE_OFFSET_DATA || type === wire.NBD_REPLY_TYPE_OFFSET_HOLE) {
      must(reads.length > 0, 'content for what is no READ');
      const hole = type === wire.NBD_REPLY_TYPE_OFFSET_HOLE;
      must(hole ? data.length === 12 : data.length > 8, `${data.length} bytes of content`);
      const from = Number(data.readBigUInt64BE(0));
      const length = hole ? data.readUInt32BE(8) : data.length - 8;
      must(length > 0, 'a hole of no bytes');
      part.ranges.push([from, from + length]);
      if (reads.length === 1 && from >= reads[0].offset)
        checkContent(reads[0], from, hole ? Buffer.alloc(length) : data.subarray(8));
    } else {
      must(type === wire.NBD_REPLY_TYPE_BLOCK_STATUS, `a chunk of type ${type}`);
      must(!part.status, 'the status of blocks twice');
      part.status = true;
      checkExtents(good(requests), data);
    }
    return 0;
  }

  /** Which request was answered completely by what has come. */
  #whole(requests: readonly ExpectedRequest[], part: Part): ExpectedRequest {
    const candidates = good(requests);
    must(candidates.length > 0, `command ${requests[0].type} succeeds, and has to fail`);
    const ranges = [...part.ranges].sort(([a], [b]) => a - b);
    const fits = candidates.find((request) => {
      if (request.type === wire.NBD_CMD_BLOCK_STATUS) return part.status && ranges.length === 0;
      if (part.status) return false;
      if (request.type !== wire.NBD_CMD_READ) return ranges.length === 0;
      if ((request.flags & wire.NBD_CMD_FLAG_DF) !== 0 && ranges.length > 1) return false;
      let at = request.offset;
      for (const [from, to] of ranges) {
        if (from !== at) return false;
        at = to;
      }
      return at === request.offset + request.length;
    });
    // With a cookie that was used twice chunks of both requests may be mixed, of which nothing can be said.
    must(fits !== undefined || candidates.length > 1, `the reply to command ${candidates[0].type} is not all of it`);
    return fits ?? candidates[0];
  }
}

function checkExtents(requests: readonly ExpectedRequest[], data: Buffer): void {
  must(data.length >= 12 && data.length % 8 === 4, `a status of ${data.length} bytes`);
  must(data.readUInt32BE(0) === 1, 'the status of another context');
  const lengths: number[] = [];
  for (let at = 4; at < data.length; at += 8) {
    lengths.push(data.readUInt32BE(at));
    must((data.readUInt32BE(at + 4) & ~3) === 0, 'an unknown status');
  }
  must(
    lengths.every((length) => length > 0),
    'an extent of no bytes',
  );
  const sum = lengths.reduce((all, length) => all + length, 0);
  const fits = requests.some(({ type, flags, length }) => {
    if (type !== wire.NBD_CMD_BLOCK_STATUS) return false;
    const one = (flags & wire.NBD_CMD_FLAG_REQ_ONE) !== 0;
    return (!one || lengths.length === 1) && sum <= length;
  });
  must(fits, `${lengths.length} extents of ${sum} bytes`);
}
