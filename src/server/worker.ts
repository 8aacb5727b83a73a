/** Entry point of worker threads: becomes the role that its data names. */
import { parentPort, workerData } from 'node:worker_threads';
import { LaneRole } from './lane_role.ts';
import type { ThreadData, ToLane, ToShrinker } from './messages.ts';
import { ShrinkerRole } from './shrinker_role.ts';
import { beginThread } from './thread_start.ts';
import { liveSettings } from './tunables.ts';

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread only');
const { role, data: sent } = workerData as { role: 'lane' | 'shrinker'; data: ThreadData };
const settings = liveSettings(sent.shared.settings, sent.cells);
const data: ThreadData = { ...sent, shared: { ...sent.shared, settings } };

beginThread(data);
if (role === 'lane') {
  const lane = new LaneRole(data, (message) => port.postMessage(message));
  port.on('message', (message: ToLane) => lane.receive(message));
} else {
  const shrinker = new ShrinkerRole(data, (message) => port.postMessage(message));
  port.on('message', (message: ToShrinker) => shrinker.receive(message));
}
