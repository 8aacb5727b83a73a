// What lies at the place of a marker is replaced by a start and removed by a stop, so nothing else may have its path.
import { madeBeside, markerEnding } from '../os/marker_path.ts';
import type { OptionPath, Problem } from './option_path.ts';
import type { Config } from './schema.ts';

export function checkMarkers({ exports, listen, control, agents }: Config): Problem[] {
  const owners = new Map<string, number>();
  for (const [index, { image }] of exports.entries()) for (const one of madeBeside(image)) owners.set(one, index);
  const files: [OptionPath, string | null][] = [
    [['listen', 'unix'], listen.unix],
    [['control', 'listen'], control.listen],
    [['agents', 'unix'], agents.unix],
  ];
  for (const [index, { image, agentToken }] of exports.entries()) {
    files.push([['exports', index, 'image'], image], [['exports', index, 'agentToken'], agentToken]);
  }
  const problems: Problem[] = [];
  for (const [path, file] of files) {
    if (file === null) continue;
    const owner = owners.get(file);
    const ending = markerEnding(file);
    if (owner === undefined && ending === undefined) continue;
    const why =
      owner === undefined
        ? `ends as the marker of an image does (${ending})`
        : `is where exports[${owner}] has the marker of its image`;
    problems.push({ path, message: `${file} ${why}, allowed: another path` });
  }
  return problems;
}
