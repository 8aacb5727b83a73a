/** Scenarios of an agent in the guest: a page changes its owner, whatever is under way with it. */
import { NOBODY } from '../../pool/owners.ts';
import { agent, client, event, gone, read, type Scenario, swapoff, trim, walker, write } from './scenario.ts';

/** Numbers of the cgroups that the agent has named. */
const [A, B] = [1, 2];
const one = [{ slot: 1, version: 1 }];
const guest = { agent: true, parentMax: Number.MAX_SAFE_INTEGER } as const;
/** A report of what was there before, and one of what event 1 was. */
const before = { n: A, event: 0 };
const since = { n: A, event: 1 };
const free = { n: NOBODY, event: 1, sent: true };
const again = { n: B, event: 2 };

export const AGENT_SCENARIOS: readonly Scenario[] = [
  {
    ...guest,
    name: 'owner-store',
    about: 'a page changes its owner while its slot is overwritten',
    stored: one,
    owned: A,
    actors: [agent(before), client('store', 0, write(1, 2), read(1))],
  },
  {
    ...guest,
    name: 'owner-trim',
    about: 'a page changes its owner while its slot is trimmed',
    stored: one,
    owned: A,
    actors: [agent(before), client('trim', 0, trim(1))],
  },
  {
    ...guest,
    name: 'owner-writeback',
    about: 'a page changes its owner while it is being written back',
    stored: one,
    owned: A,
    actors: [agent(before), walker('shrinker', 2), client('load', 0, read(1))],
  },
  {
    ...guest,
    name: 'owner-putback',
    about: 'a page changes its owner while writeback has to give it up for want of a buffer',
    stored: one,
    owned: A,
    buffersLeft: 1,
    actors: [agent(before), walker('shrinker', 2), { kind: 'holder', name: 'other', what: 'buffer' }],
  },
  {
    ...guest,
    name: 'owner-gone',
    about: 'a page changes its owner while the cgroup that it is given to goes away, and a new memcg is made',
    stored: one,
    owned: A,
    actors: [agent(before), gone],
  },
  {
    ...guest,
    name: 'owner-gone-store',
    about: 'a slot is overwritten that is of a cgroup which goes away, and a new memcg is made',
    stored: [],
    owned: A,
    actors: [agent(before), client('store', 0, write(1, 2)), gone],
  },
  {
    ...guest,
    name: 'owner-leaves',
    about: 'a page changes its owner while the cgroup that had it goes away, and a new memcg is made',
    stored: one,
    charged: A,
    owned: B,
    actors: [agent({ n: B, event: 0 }), gone],
  },
  {
    ...guest,
    name: 'owner-swapoff',
    about: 'a page changes its owner while its export is swapped off',
    stored: one,
    pages: 2,
    actors: [agent(before), swapoff()],
  },
  {
    ...guest,
    name: 'owner-late',
    about: 'a slot is charged to a cgroup and written, and the report of it comes before the WRITE or after it',
    stored: one,
    owned: A,
    actors: [client('guest', 0, event(1), write(1, 2)), agent(since)],
  },
  {
    ...guest,
    name: 'owner-older',
    about: 'a slot is charged to a cgroup, and what is stored there is of the time before',
    stored: one,
    owned: NOBODY,
    actors: [client('guest', 0, event(1), read(1)), agent(since)],
  },
  {
    ...guest,
    name: 'owner-again',
    about:
      'a slot is charged to one cgroup and written, then to another and written, and the reports come in their order, at any time',
    stored: [],
    owned: B,
    actors: [client('guest', 0, event(1), write(1, 1), event(2), write(1, 2)), agent(since, again)],
  },
  {
    ...guest,
    name: 'owner-limit',
    about: 'a page comes to a memcg that is at its limit while another is stored, and has to leave',
    stored: one,
    cgroupMax: 1,
    actors: [agent({ ...before, sent: true }), client('store', 0, write(2, 1))],
  },
  {
    ...guest,
    name: 'dead-store',
    about: 'a slot is freed, charged again and written, and the reports come in their order, at any time',
    stored: one,
    owned: A,
    dead: 'first',
    actors: [client('guest', 0, event(1), event(2), write(1, 2)), agent(free, { n: A, event: 2, sent: true })],
  },
  {
    ...guest,
    name: 'dead-again',
    about: 'a page dies, and then is found to be in use by another cgroup',
    stored: one,
    owned: A,
    dead: 'first',
    actors: [client('guest', 0, event(1)), agent(free, before)],
  },
  {
    ...guest,
    name: 'dead-gone',
    about: 'a page dies while the cgroup that had it goes away, and a new memcg is made',
    stored: one,
    charged: A,
    owned: A,
    dies: true,
    dead: 'first',
    actors: [client('guest', 0, event(1)), agent(free), gone],
  },
  {
    ...guest,
    name: 'dead-writeback',
    about: 'a page dies while it is being written back, or has to be put back for want of a buffer',
    stored: one,
    owned: NOBODY,
    dies: true,
    dead: 'first',
    buffersLeft: 1,
    actors: [client('guest', 0, event(1)), agent(free), walker(), { kind: 'holder', name: 'other', what: 'buffer' }],
  },
  {
    ...guest,
    name: 'dead-drop',
    about: 'dead pages are dropped: a slot is freed and written again, and the report comes at any time',
    stored: one,
    owned: NOBODY,
    dead: 'drop',
    actors: [client('guest', 0, event(1), write(1, 2), read(1)), agent(free)],
  },
  {
    ...guest,
    name: 'dead-drop-writeback',
    about: 'as dead-drop, while the page that dies is being written back',
    stored: one,
    owned: NOBODY,
    dead: 'drop',
    actors: [walker(), client('guest', 0, event(1), write(1, 2)), agent(free)],
  },
  {
    ...guest,
    name: 'dead-drop-error',
    about: 'as dead-drop, on an image that will not forget',
    stored: one,
    owned: NOBODY,
    dead: 'drop',
    image: { failPunches: 1 },
    actors: [client('guest', 0, event(1), write(1, 2), read(1)), agent(free)],
  },
];
