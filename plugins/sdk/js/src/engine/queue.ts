/** Jobs of promises, and timers, of an engine that runs none. */

interface Timer {
  id: number;
  at: number;
  run: () => void;
}

/** A clock to wait by; the module with timers sets it, so that others do not import WASI's clock. */
export interface Clock {
  now(): number;
  wait(ms: number): void;
}

const jobs: (() => void)[] = [];
const timers: Timer[] = [];
let clock: Clock | undefined;
let lastId = 0;

export function enqueue(job: () => void): void {
  jobs.push(job);
}

export function useClock(used: Clock): void {
  clock = used;
}

export function addTimer(run: () => void, delay: number): number {
  lastId += 1;
  timers.push({ id: lastId, at: (clock as Clock).now() + Math.max(0, Number(delay) || 0), run });
  return lastId;
}

export function removeTimer(id: number | undefined): void {
  const at = timers.findIndex((timer) => timer.id === id);
  if (at >= 0) timers.splice(at, 1);
}

/** Runs the jobs that are there, or else waits for the next timer and runs it; false if there was neither. */
export function drained(): boolean {
  if (jobs.length) {
    for (const job of jobs.splice(0)) job();
    return true;
  }
  const next = timers.reduce<Timer | undefined>((first, timer) => (first && first.at <= timer.at ? first : timer), undefined);
  if (!next || !clock) return false;
  clock.wait(next.at - clock.now());
  removeTimer(next.id);
  next.run();
  return true;
}
