/** Entry point of every worker thread: becomes the role that its data names. */
import { parentPort, workerData } from 'node:worker_threads';
import { enterThread, setDelays } from '../shm/sync.ts';
import { LaneRole } from './lane_role.ts';
import type { LaneData, ShrinkerData, ToLane, ToShrinker } from './messages.ts';
import { ShrinkerRole } from './shrinker_role.ts';
import { nameThreads } from './thread_names.ts';

const port = parentPort;
if (port === null) throw new Error('worker.ts runs as a worker thread only');
const data = workerData as { role: 'lane'; data: LaneData } | { role: 'shrinker'; data: ShrinkerData };

enterThread(data.data.thread + 1, (report) => {
  throw new Error(nameThreads(report));
});
setDelays(data.data.delays);
if (data.role === 'lane') {
  const role = new LaneRole(data.data, (message) => port.postMessage(message));
  port.on('message', (message: ToLane) => role.receive(message));
} else {
  const role = new ShrinkerRole(data.data, (message) => port.postMessage(message));
  port.on('message', (message: ToShrinker) => role.receive(message));
}
