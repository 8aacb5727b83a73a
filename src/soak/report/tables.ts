/** Tables of a report. */
import { html } from './style.ts';

interface Column {
  readonly name: string;
  readonly numeric?: boolean;
}

/** Cells are text, or HTML where they say so. */
type Cell = string | number | { readonly html: string };

export function table(columns: readonly Column[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return '<p>none</p>';
  const head = columns.map(({ name, numeric }) => `<th${numeric ? ' class="n"' : ''}>${html(name)}</th>`);
  const body = rows.map((row) => `<tr>${row.map((one, i) => cell(one, columns[i].numeric === true)).join('')}</tr>`);
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`;
}

function cell(value: Cell, numeric: boolean): string {
  const text = typeof value === 'object' ? value.html : html(typeof value === 'number' ? count(value) : value);
  return `<td${numeric ? ' class="n"' : ''}>${text}</td>`;
}

export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 1 });
}

export const numeric = (...names: readonly string[]): Column[] => names.map((name) => ({ name, numeric: true }));
