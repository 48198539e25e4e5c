import type { Attributes, Handler, Lifecycle, WitDescription, WitMessage, WitOutcome } from './contract.js';
import { installConsole } from './console.js';
import { u64 } from './engine/current.js';
import { ended } from './exception.js';
import { Message } from './message.js';
import { Reject, Retry, outcomeOf, toWit, type Result } from './outcome.js';
import { InvalidValue } from './validate.js';

/** The retry policy; what is left out has its default. */
export interface RetryPolicy {
  /** The number of deliveries after the first one; 5. */
  retries?: number;
  /** The delay before the first retry, in milliseconds; 1 s. */
  delayMs?: number;
  /** The factor of each further delay; 2. */
  multiplier?: number;
  /** The maximum delay, in milliseconds; 1 h. */
  maxDelayMs?: number;
  /** The maximum random extension of a delay, as a fraction of it from 0 to 1; 0. */
  jitter?: number;
  /** The maximum time between a message's first failure and its last retry, in milliseconds; 24 h, which is the most. */
  maxAgeMs?: number;
}

/** What every plugin says about itself. */
export interface Description {
  /** Lower-case words joined by `-`. */
  name: string;
  version: string;
  /** One sentence. */
  summary: string;
  /** The topic whose messages it handles. */
  topic: string;
  /** `<name>-group` by default. */
  group?: string;
  /** `<topic>.dlt` by default. */
  deadLetterTopic?: string;
  retry?: RetryPolicy;
  /** The maximum number of messages in one call, from 1 to 1000; 1 by default. */
  maxBatch?: number;
}

/** A plugin whose messages have a JSON value. What cannot be decoded is rejected as `invalid-message`. */
export interface ValuePlugin<T> extends Description {
  /**
   * The value with its type; throws if it is invalid. `kafka-host-plugin/validate` makes such functions, and any
   * function that throws will do. Without it, the value is passed as it is.
   */
  validate?: (value: unknown) => T;
  /** Handles a message. A tombstone is rejected and never passed. */
  handle: (value: T, message: Message) => Result | Promise<Result>;
}

/** A plugin that reads its messages itself, tombstones included. */
export interface MessagePlugin extends Description {
  handleMessage: (message: Message) => Result | Promise<Result>;
}

/** The exports of a plugin. */
export interface Plugin {
  readonly lifecycle: Lifecycle;
  readonly handler: Handler;
}

/**
 * A plugin, which the module that is built exports as its default:
 *
 * ```ts
 * export default plugin({ name: 'greeter', version: '1.0.0', summary: 'Greets', topic: 'names', handle: greet });
 * ```
 */
export function plugin<T = unknown>(options: ValuePlugin<T> | MessagePlugin): Plugin {
  installConsole();
  const handle = 'handleMessage' in options ? options.handleMessage : ofValue(options);
  return {
    lifecycle: { describe: () => ended(() => describe(options)) as WitDescription },
    handler: { handle: (batch) => ended(() => all(batch, 0, [], handle)) as WitOutcome[] | Promise<WitOutcome[]> },
  };
}

type Handle = (message: Message) => Result | Promise<Result>;

function ofValue<T>({ handle, validate }: ValuePlugin<T>): Handle {
  return (message) => {
    const value = message.json();
    return handle(validate ? valid(validate, value) : (value as T), message);
  };
}

/** The value that the validator returns. What it throws is the detail of a rejection. */
function valid<T>(validate: (value: unknown) => T, value: unknown): T {
  try {
    return validate(value);
  } catch (error) {
    if (error instanceof Reject || error instanceof Retry) throw error;
    if (error instanceof InvalidValue) throw new Reject('invalid-message', error.message);
    const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new Reject('invalid-message', detail, { cause: error });
  }
}

/** Handles messages one after the other, and asynchronously only from the first handler that returns a promise. */
function all(batch: WitMessage[], from: number, outcomes: WitOutcome[], handle: Handle): WitOutcome[] | Promise<WitOutcome[]> {
  for (let at = from; at < batch.length; at++) {
    const outcome = one(batch[at] as WitMessage, handle);
    if (isPromise(outcome)) {
      return outcome.then((first) => {
        outcomes.push(first);
        return all(batch, at + 1, outcomes, handle);
      });
    }
    outcomes.push(outcome);
  }
  return outcomes;
}

function one(message: WitMessage, handle: Handle): WitOutcome | Promise<WitOutcome> {
  try {
    const result = handle(new Message(message));
    // What has a `then` need not be a promise.
    return isPromise(result) ? Promise.resolve(result).then(returned, thrown) : returned(result);
  } catch (error) {
    return thrown(error);
  }
}

function returned(result: unknown): WitOutcome {
  const outcome = outcomeOf(result);
  if (outcome === undefined) throw new TypeError(`the handler returned a value of type ${typeof result}, which is no outcome`);
  return toWit(outcome);
}

/** The outcome of a Retry or a Reject. Every other exception ends the call. */
function thrown(error: unknown): WitOutcome {
  if (error instanceof Retry || error instanceof Reject) return returned(error);
  throw error;
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function describe(options: Description): WitDescription {
  const { name, version, summary, topic, retry = {}, maxBatch } = options;
  const attributes: Attributes = maxBatch === undefined ? [] : [['max-batch', String(maxBatch)]];
  return {
    name,
    version,
    summary,
    subscription: {
      topic,
      group: options.group ?? `${name}-group`,
      deadLetterTopic: options.deadLetterTopic ?? `${topic}.dlt`,
      retry: {
        retries: retry.retries ?? 5,
        delayMs: u64(retry.delayMs ?? 1_000),
        multiplier: retry.multiplier ?? 2,
        maxDelayMs: u64(retry.maxDelayMs ?? 3_600_000),
        jitter: retry.jitter ?? 0,
        maxAgeMs: u64(retry.maxAgeMs ?? 86_400_000),
      },
    },
    attributes,
  };
}
