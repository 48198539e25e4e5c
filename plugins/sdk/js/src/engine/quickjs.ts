import { OwnPromise } from './promise.js';
import { enqueue } from './queue.js';

/** What QuickJS lacks, as globals. The build imports this module first. Timers are in `timers.ts`. */
Object.assign(globalThis, {
  Promise: OwnPromise,
  queueMicrotask: (run: () => void) => enqueue(run),
});
