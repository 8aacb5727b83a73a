// Placeholder of the server, so that the command line compiles.
import type { Config } from './config/schema.ts';

export async function serve(_config: Config): Promise<number> {
  throw new Error('the server is being written');
}
