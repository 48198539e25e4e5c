import { engine } from './current.js';
import { drained } from './queue.js';

/**
 * The result of a promise, for an export. StarlingMonkey runs its event loop until the promise is settled. QuickJS runs
 * no jobs: there the SDK has promises and timers of its own (see `quickjs.ts`), and runs them here.
 */
export function settle<T>(promise: Promise<T>, raise: (error: unknown) => never): T | Promise<T> {
  if (engine !== 'quickjs') return promise.then(undefined, raise);
  let result: { value: T } | { error: unknown } | undefined;
  promise.then(
    (value) => (result = { value }),
    (error: unknown) => (result = { error }),
  );
  while (!result && drained());
  if (!result) return raise(new Error('the handler returned a promise that is never settled'));
  return 'error' in result ? raise(result.error) : result.value;
}
