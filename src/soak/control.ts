/** What a soak asks of the control socket of the server. Its caller says how to ask, because that is the command line's. */

/** Answers of other statuses than 200 too; throws where there is no answer. */
export type Ask = (
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: string,
  timeoutMs?: number,
) => Promise<{ readonly status: number; readonly text: string }>;

export type Row = Record<string, unknown>;

/** A check of a full pool takes its time. */
const CHECK_MS = 120_000;

export class Control {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  stats(): Promise<Row> {
    return this.#object('GET', '/stats');
  }

  check(): Promise<Row> {
    return this.#object('GET', '/check', CHECK_MS);
  }

  faults(after: number): Promise<Row> {
    return this.#object('GET', `/v1/faults?after=${after}`);
  }

  /** What is wrong with the plan, or null when it is applied. */
  async apply(plan: string): Promise<string | null> {
    const { status, text } = await this.#ask('POST', '/v1/faults', plan);
    return status >= 200 && status < 300 ? null : said(text);
  }

  async clear(): Promise<void> {
    const { status, text } = await this.#ask('DELETE', '/v1/faults');
    if (status < 200 || status >= 300) throw new Error(`the faults could not be cleared: ${said(text)}`);
  }

  async #object(method: 'GET', path: string, timeoutMs?: number): Promise<Row> {
    const { status, text } = await this.#ask(method, path, undefined, timeoutMs);
    if (status !== 200) throw new Error(`${path} was answered ${status}: ${said(text)}`);
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) throw new Error(`${path}: the answer is no object`);
    return value as Row;
  }
}

/** One line of an answer, which may be JSON with an error. */
function said(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'error' in value) return String(value.error);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return text.trim().slice(0, 2000);
}

export function numberOf(row: Row, name: string): number {
  const value = row[name];
  return typeof value === 'number' ? value : 0;
}

export function rowOf(row: Row, name: string): Row {
  const value = row[name];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Row) : {};
}

export function rowsOf(row: Row, name: string): readonly Row[] {
  const value = row[name];
  return Array.isArray(value) ? value.filter((one): one is Row => typeof one === 'object' && one !== null) : [];
}
