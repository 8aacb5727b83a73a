/**
 * Entry point of worker threads: becomes the role that its data names. It loads that one only, because modules are most of
 * what a thread takes to start.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { ThreadData, ToLane, ToShrinker } from './messages.ts';
import { beginThread } from './thread_start.ts';
import { liveSettings } from './tunables.ts';

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread only');
const { role, data: sent } = workerData as { role: 'lane' | 'shrinker'; data: ThreadData };
const settings = liveSettings(sent.shared.settings, sent.cells);
const data: ThreadData = { ...sent, shared: { ...sent.shared, settings } };

beginThread(data);
if (role === 'lane') {
  const { LaneRole } = await import('./lane_role.ts');
  const lane = new LaneRole(data, (message) => port.postMessage(message));
  port.on('message', (message: ToLane) => lane.receive(message));
} else {
  const { ShrinkerRole } = await import('./shrinker_role.ts');
  const shrinker = new ShrinkerRole(data, (message) => port.postMessage(message));
  port.on('message', (message: ToShrinker) => shrinker.receive(message));
}
