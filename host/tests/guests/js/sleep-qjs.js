// QuickJS has no timers.
import clock from 'wasi:clocks/monotonic-clock@0.2.6';

export function sleep(ms, outcomes) {
  const pollable = clock.subscribeDuration(ms * 1_000_000);
  pollable.block();
  return outcomes;
}
