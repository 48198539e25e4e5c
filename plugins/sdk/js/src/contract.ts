/**
 * The values of the contract `kafka-host:plugin@0.2.0`, as both engines pass them. They differ in two places, which the
 * SDK hides: a `u64` is a bigint in StarlingMonkey and a number in QuickJS; a missing `option` is undefined in
 * StarlingMonkey and null in QuickJS, and both accept undefined.
 */

/** An `option`. */
export type Option<T> = T | null | undefined;
/** A `u64`. */
export type U64 = bigint | number;
/** Names and values, in order. */
export type Attributes = [string, string][];
/** A `result` within another value. */
export type WitResult<T, E> = { tag: 'ok'; val: T } | { tag: 'err'; val: E };

/** The interface `messages`. */
export interface WitHeader {
  key: string;
  value?: Option<Uint8Array>;
}

export interface WitMessage {
  id: string;
  topic: string;
  partition: number;
  offset: U64;
  timestampMs: U64;
  key?: Option<Uint8Array>;
  value?: Option<Uint8Array>;
  headers: WitHeader[];
  attempt: number;
  maxAttempts: number;
  attributes: Attributes;
}

export interface WitFailure {
  code: string;
  detail: string;
}

export interface WitRetryLater {
  failure: WitFailure;
  afterMs?: Option<U64>;
}

export type WitOutcome =
  | { tag: 'done'; val: string }
  | { tag: 'skipped'; val: string }
  | { tag: 'retry'; val: WitRetryLater }
  | { tag: 'reject'; val: WitFailure };

/** The interface `lifecycle`. */
export interface WitRetryPolicy {
  retries: number;
  delayMs: U64;
  multiplier: number;
  maxDelayMs: U64;
  jitter: number;
  maxAgeMs: U64;
}

export interface WitSubscription {
  topic: string;
  group: string;
  deadLetterTopic: string;
  retry: WitRetryPolicy;
}

export interface WitDescription {
  name: string;
  version: string;
  summary: string;
  subscription: WitSubscription;
  attributes: Attributes;
}

/** The levels of the interface `log`. */
export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** The interface `mail`. */
export interface WitAddress {
  name?: Option<string>;
  email: string;
}

export interface WitAttachment {
  filename: string;
  contentType: string;
  content: Uint8Array;
}

export interface WitEmail {
  sender: WitAddress;
  to: WitAddress[];
  cc: WitAddress[];
  bcc: WitAddress[];
  replyTo?: Option<WitAddress>;
  subject: string;
  text?: Option<string>;
  html?: Option<string>;
  headers: [string, string][];
  attachments: WitAttachment[];
}

export interface WitRefusal {
  recipient: string;
  transient: boolean;
  response: string;
}

export interface WitReceipt {
  id: string;
  response: string;
  refused: WitRefusal[];
}

/** `mail-error` and `produce-error`. */
export type WitEffectError =
  | { tag: 'transient'; val: string }
  | { tag: 'permanent'; val: string }
  | { tag: 'denied'; val: string };

/** The interface `produce`. */
export interface WitNewRecord {
  topic: string;
  key?: Option<Uint8Array>;
  value?: Option<Uint8Array>;
  headers: WitHeader[];
}

export interface WitPosition {
  partition: number;
  offset: U64;
}

/** The exports of a plugin. */
export interface Lifecycle {
  describe(): WitDescription;
}

export interface Handler {
  handle(batch: WitMessage[]): WitOutcome[] | Promise<WitOutcome[]>;
}
