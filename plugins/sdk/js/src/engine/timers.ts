import { now, subscribeDuration } from 'wasi:clocks/monotonic-clock@0.2.6';
import { addTimer, removeTimer, useClock, type Clock } from './queue.js';

/** Timers for QuickJS, by WASI's clock. The build adds this module to a bundle that uses them. */
const clock: Clock = {
  now: () => Number(now()) / 1e6,
  wait: (ms) => {
    if (ms > 0) subscribeDuration(Math.ceil(ms * 1e6)).block();
  },
};

export function setTimeout(run: (...values: unknown[]) => void, delay = 0, ...values: unknown[]): number {
  // Not at the top level: a bundle that uses no timers is to import no clock.
  useClock(clock);
  return addTimer(() => run(...values), delay);
}

export function clearTimeout(id: number | undefined): void {
  removeTimer(id);
}
