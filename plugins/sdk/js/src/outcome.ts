import type { WitOutcome } from './contract.js';
import { u64 } from './engine/current.js';

/** What a handler may return: an outcome, or a receipt, or nothing, which is done without a receipt. */
export type Result = Outcome | Retry | Reject | string | undefined | void;

/** The outcome of a message. */
export type Outcome =
  | { readonly outcome: 'done'; readonly receipt: string }
  | { readonly outcome: 'skipped'; readonly reason: string }
  | { readonly outcome: 'retry'; readonly code: string; readonly detail: string; readonly afterMs?: number | undefined }
  | { readonly outcome: 'reject'; readonly code: string; readonly detail: string };

/** The message is handled; with a provider's receipt. */
export function done(receipt = ''): Outcome {
  return { outcome: 'done', receipt };
}

/** There was nothing to do; with the reason. */
export function skipped(reason = ''): Outcome {
  return { outcome: 'skipped', reason };
}

/**
 * A transient failure: the message is delivered again.
 *
 * @param code short and stable, in lower-case words joined by `-`: failures are grouped by it
 * @param detail for users, without secrets
 * @param afterMs a delay that the provider requests (`Retry-After`), which spends no attempt; without it, the next delay
 *   of the retry policy
 */
export function retry(code: string, detail: string, afterMs?: number): Outcome {
  return afterMs === undefined ? { outcome: 'retry', code, detail } : { outcome: 'retry', code, detail, afterMs };
}

/** A permanent failure: the message becomes a dead letter without a retry. */
export function reject(code: string, detail: string): Outcome {
  return { outcome: 'reject', code, detail };
}

/** A transient failure to throw, from any depth: see {@link retry}. */
export class Retry extends Error {
  override readonly name = 'Retry';
  constructor(
    readonly code: string,
    readonly detail: string,
    readonly afterMs?: number,
    options?: ErrorOptions,
  ) {
    super(`${code}: ${detail}`, options);
  }
}

/** A permanent failure to throw, from any depth: see {@link reject}. */
export class Reject extends Error {
  override readonly name = 'Reject';
  constructor(
    readonly code: string,
    readonly detail: string,
    options?: ErrorOptions,
  ) {
    super(`${code}: ${detail}`, options);
  }
}

/** The outcome of what a handler has returned or thrown; undefined if that is none. */
export function outcomeOf(value: unknown): Outcome | undefined {
  if (value === undefined || value === null) return done();
  if (typeof value === 'string') return done(value);
  if (value instanceof Retry) return retry(value.code, value.detail, value.afterMs);
  if (value instanceof Reject) return reject(value.code, value.detail);
  if (typeof value !== 'object' || !('outcome' in value)) return undefined;
  const outcome = value as Outcome;
  switch (outcome.outcome) {
    case 'done':
      return done(outcome.receipt);
    case 'skipped':
      return skipped(outcome.reason);
    case 'retry':
      return retry(outcome.code, outcome.detail, outcome.afterMs);
    case 'reject':
      return reject(outcome.code, outcome.detail);
    default:
      return undefined;
  }
}

/** The largest number that is exact in both engines. */
const MAX_MS = Number.MAX_SAFE_INTEGER;

/** An outcome as the contract has it. */
export function toWit(outcome: Outcome): WitOutcome {
  switch (outcome.outcome) {
    case 'done':
      return { tag: 'done', val: String(outcome.receipt) };
    case 'skipped':
      return { tag: 'skipped', val: String(outcome.reason) };
    case 'reject':
      return { tag: 'reject', val: { code: String(outcome.code), detail: String(outcome.detail) } };
    case 'retry': {
      const failure = { code: String(outcome.code), detail: String(outcome.detail) };
      const { afterMs } = outcome;
      // What is no number is no request of the provider.
      const delay = afterMs !== undefined && afterMs >= 0 ? u64(Math.round(Math.min(afterMs, MAX_MS))) : undefined;
      return { tag: 'retry', val: { failure, afterMs: delay } };
    }
  }
}
