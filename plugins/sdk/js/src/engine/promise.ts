import { enqueue } from './queue.js';

/**
 * Promises whose jobs the SDK runs: componentize-qjs never runs those of QuickJS in a synchronous export. The build
 * compiles `async` functions to generators, which use these.
 */

type Resolve = (value: unknown) => void;
type Reaction = { done: Resolve; failed: Resolve };

export class OwnPromise {
  #state: 'pending' | 'done' | 'failed' = 'pending';
  #value: unknown;
  #reactions: Reaction[] = [];

  constructor(run: (resolve: Resolve, reject: Resolve) => void) {
    let called = false;
    const once = (settle: Resolve): Resolve => (value) => {
      if (called) return;
      called = true;
      settle(value);
    };
    const reject = once((error) => this.#settle('failed', error));
    try {
      run(
        once((value) => this.#resolve(value)),
        reject,
      );
    } catch (error) {
      reject(error);
    }
  }

  #resolve(value: unknown): void {
    if (value === this) return this.#settle('failed', new TypeError('a promise cannot be resolved with itself'));
    if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return this.#settle('done', value);
    let then: unknown;
    try {
      then = (value as { then?: unknown }).then;
    } catch (error) {
      return this.#settle('failed', error);
    }
    if (typeof then !== 'function') return this.#settle('done', value);
    const follow = then as (done: Resolve, failed: Resolve) => void;
    enqueue(() => {
      new OwnPromise((done, failed) => follow.call(value, done, failed)).#react({
        done: (result) => this.#settle('done', result),
        failed: (error) => this.#settle('failed', error),
      });
    });
  }

  #settle(state: 'done' | 'failed', value: unknown): void {
    this.#state = state;
    this.#value = value;
    for (const reaction of this.#reactions.splice(0)) this.#react(reaction);
  }

  #react(reaction: Reaction): void {
    if (this.#state === 'pending') this.#reactions.push(reaction);
    else enqueue(() => reaction[this.#state === 'done' ? 'done' : 'failed'](this.#value));
  }

  then(onDone?: unknown, onFailed?: unknown): OwnPromise {
    return new OwnPromise((resolve, reject) => {
      const by = (handler: unknown, otherwise: Resolve): Resolve => (value) => {
        if (typeof handler !== 'function') return otherwise(value);
        try {
          resolve((handler as (value: unknown) => unknown)(value));
        } catch (error) {
          reject(error);
        }
      };
      this.#react({ done: by(onDone, resolve), failed: by(onFailed, reject) });
    });
  }

  catch(onFailed?: unknown): OwnPromise {
    return this.then(undefined, onFailed);
  }

  finally(run: () => unknown): OwnPromise {
    return this.then(
      (value: unknown) => OwnPromise.resolve(run()).then(() => value),
      (error: unknown) =>
        OwnPromise.resolve(run()).then(() => {
          throw error;
        }),
    );
  }

  get [Symbol.toStringTag](): string {
    return 'Promise';
  }

  static resolve(value?: unknown): OwnPromise {
    return value instanceof OwnPromise ? value : new OwnPromise((resolve) => resolve(value));
  }

  static reject(error?: unknown): OwnPromise {
    return new OwnPromise((_, reject) => reject(error));
  }

  static withResolvers() {
    let resolve!: Resolve;
    let reject!: Resolve;
    const promise = new OwnPromise((done, failed) => {
      resolve = done;
      reject = failed;
    });
    return { promise, resolve, reject };
  }

  static all(values: Iterable<unknown>): OwnPromise {
    return each(values, (value) => value, undefined);
  }

  static allSettled(values: Iterable<unknown>): OwnPromise {
    return each(
      values,
      (value) => ({ status: 'fulfilled', value }),
      (reason) => ({ status: 'rejected', reason }),
    );
  }

  static race(values: Iterable<unknown>): OwnPromise {
    return new OwnPromise((resolve, reject) => {
      for (const value of values) OwnPromise.resolve(value).then(resolve, reject);
    });
  }

  static any(values: Iterable<unknown>): OwnPromise {
    // The first that is done, as if it had failed, and all errors, as if they were the result.
    const swapped = Array.from(values, (value) =>
      OwnPromise.resolve(value).then(
        (result: unknown) => OwnPromise.reject(result),
        (error: unknown) => error,
      ),
    );
    return OwnPromise.all(swapped).then(
      (errors: unknown) => {
        throw new AggregateError(errors as unknown[], 'all promises were rejected');
      },
      (result: unknown) => result,
    );
  }
}

function each(values: Iterable<unknown>, done: (value: unknown) => unknown, failed: ((error: unknown) => unknown) | undefined) {
  return new OwnPromise((resolve, reject) => {
    const results: unknown[] = [];
    let left = 1;
    const ended = () => {
      left -= 1;
      if (left === 0) resolve(results);
    };
    const keep = (at: number, change: (value: unknown) => unknown) => (value: unknown) => {
      results[at] = change(value);
      ended();
    };
    let at = 0;
    for (const value of values) {
      left += 1;
      OwnPromise.resolve(value).then(keep(at, done), failed ? keep(at, failed) : reject);
      at += 1;
    }
    ended();
  });
}
