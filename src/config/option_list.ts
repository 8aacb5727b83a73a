// The declarations of schema.ts as data: a JSON schema for editors, and a flat list for the reference.
import { z } from 'zod';
import { configSchema } from './schema.ts';

export interface Option {
  /** `exports[].size`, `memcgs.NAME.zswap.max` */
  path: string;
  description: string;
  /** What may be written; empty for a group. */
  allowed: string;
  unit: string;
  /** JSON of the default, or undefined where the option is required or has no default of its own. */
  default: string | undefined;
  required: boolean;
  isPath: boolean;
  /** The value may be a string, and no object or list. */
  isText: boolean;
  isGroup: boolean;
}

interface JsonSchema {
  type?: unknown;
  description?: string;
  default?: unknown;
  required?: string[];
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  additionalProperties?: JsonSchema | false;
  json?: object;
  allowed?: string;
  unit?: string;
  path?: boolean;
}

/** JSON schema of what may stand in a file. `keepNotes` leaves our own notes (unit, allowed, path) in it. */
function toJsonSchema(keepNotes: boolean): JsonSchema {
  return z.toJSONSchema(configSchema, {
    io: 'input',
    target: 'draft-7',
    override: ({ jsonSchema }) => {
      const schema = jsonSchema as JsonSchema;
      Object.assign(schema, schema.json);
      delete schema.json;
      if (keepNotes) return;
      delete schema.allowed;
      delete schema.unit;
      delete schema.path;
    },
  }) as JsonSchema;
}

export function jsonSchema(): object {
  return toJsonSchema(false);
}

/** Every option and group, in the order of the declaration. */
export function listOptions(): Option[] {
  const options: Option[] = [];
  visit(toJsonSchema(true), '', options);
  return options;
}

function visit(schema: JsonSchema, prefix: string, options: Option[]): void {
  for (const [key, child] of Object.entries(schema.properties ?? {})) {
    if (key === '$schema') continue;
    add(child, prefix === '' ? key : `${prefix}.${key}`, schema.required?.includes(key) ?? false, options);
  }
}

function add(schema: JsonSchema, path: string, required: boolean, options: Option[]): void {
  const named = schema.additionalProperties;
  const isGroup = schema.properties !== undefined;
  options.push({
    path,
    description: schema.description ?? '',
    allowed: schema.allowed ?? '',
    unit: schema.unit ?? '',
    default: schema.default === undefined || isGroup ? undefined : JSON.stringify(schema.default),
    required,
    isPath: schema.path ?? false,
    isText: [schema.type].flat().includes('string'),
    isGroup,
  });
  visit(schema, path, options);
  if (schema.items !== undefined) visit(schema.items, `${path}[]`, options);
  if (typeof named === 'object' && named.properties !== undefined) visit(named, `${path}.NAME`, options);
}
