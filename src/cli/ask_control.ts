// Asks the control socket of a running server, and says in one line why there is no answer.
import { request } from 'node:http';
import { CONTROL_CONNECTIONS } from '../control/limits.ts';
import { EXIT, ExitError, errorCode, errorText } from '../os/exit_error.ts';

/** How long a server may take for an ordinary answer. */
export const TIMEOUT_MS = 5000;
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

export type Row = Record<string, unknown>;

export interface Question {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: string | undefined;
  /** Null for what may take as long as it does. */
  readonly timeoutMs?: number | null | undefined;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** `read`: makes something of the answer, or throws what is wrong with it. */
export function askControl<T>(socketPath: string, question: Question, read: (answer: Answer) => T): Promise<T> {
  const { method, path, body = '', timeoutMs = TIMEOUT_MS } = question;
  return new Promise((resolve, reject) => {
    function fail(error: unknown): void {
      if (error instanceof ExitError) reject(error);
      else reject(new ExitError(EXIT.failed, explain(socketPath, error), { cause: error }));
    }
    const call = request(
      { socketPath, path, method, agent: false, ...(timeoutMs === null ? {} : { timeout: timeoutMs }) },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) call.destroy(new Error(`the answer has more than ${MAX_ANSWER_BYTES} bytes`));
          else chunks.push(chunk);
        });
        response.on('error', fail);
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response;
          try {
            resolve(
              read({ status, type: headers['content-type'] ?? '', text: Buffer.concat(chunks).toString('utf8') }),
            );
          } catch (error) {
            fail(error);
          }
        });
      },
    );
    const perhaps = method === 'GET' ? '' : '; it may be done yet';
    call.on('timeout', () => call.destroy(new Error(`no answer within ${(timeoutMs ?? 0) / 1000} s${perhaps}`)));
    call.on('error', fail);
    call.end(body);
  });
}

/** GET of a JSON object from the control socket; POST for a verb, which may take as long as it does. */
export function fetchControl(
  socketPath: string,
  path: string,
  method: 'GET' | 'POST' = 'GET',
  timeoutMs = TIMEOUT_MS,
): Promise<Row> {
  return askControl(socketPath, { method, path, timeoutMs: method === 'GET' ? timeoutMs : null }, readObject);
}

function readObject({ status, text }: Answer): Row {
  if (status !== 200) throw new Error(refusal(status, text));
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the answer is not an object');
  return value as Row;
}

/** What the server says is wrong, where it says so in a line of its own. */
export function refusal(status: number, text: string): string {
  const { 1: error } =
    /^\{"error":("(?:[^"\\\p{Cc}]|[\x80-\x9f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")\}\s*$/u.exec(text) ?? [];
  if (status === 500 || error === undefined) return `the server answered ${status}: ${text.trim().slice(0, 200)}`;
  const said: string = JSON.parse(error);
  // What would leave the line, or steer the terminal, is escaped.
  return said.replace(/\p{Cc}/gu, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function explain(socketPath: string, error: unknown): string {
  const code = errorCode(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return `${socketPath}: no server answers there (control.listen); is zswapd running?`;
  if (code === 'EPIPE' || code === 'ECONNRESET') {
    const why = `the server takes ${CONTROL_CONNECTIONS} connections at a time, or has ended; try again`;
    return `${socketPath}: the connection was closed without an answer (${errorText(error)}): ${why}`;
  }
  if (code.startsWith('HPE_')) {
    return `${socketPath}: is not a control socket: who answers there does not speak HTTP, allowed: that of control.listen`;
  }
  return `${socketPath}: ${errorText(error)}`;
}
