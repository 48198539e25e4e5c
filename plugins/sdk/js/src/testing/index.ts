/** Calls a plugin in a unit test, without a host. */
import type { Level, WitEffectError, WitEmail, WitMessage, WitNewRecord, WitOutcome, WitReceipt, WitResult } from '../contract.js';
import type { Outcome } from '../outcome.js';
import type { Plugin } from '../plugin.js';
import { decodeUtf8, encodeUtf8 } from '../text.js';
import { use, type Imports } from './state.js';

/** A message; all fields have defaults. A value that is no text, bytes or null is JSON. */
export interface TestMessage {
  value?: unknown;
  key?: string | Uint8Array | null;
  headers?: Record<string, string | Uint8Array | null>;
  id?: string;
  topic?: string;
  partition?: number;
  offset?: number;
  timestampMs?: number;
  attempt?: number;
  maxAttempts?: number;
}

/** What the host answers. */
export interface HostOptions {
  /** The plugin's configuration. */
  config?: Record<string, string>;
  /** The result of each e-mail; accepted by default. */
  send?: (email: WitEmail) => { refused?: WitReceipt['refused']; response?: string } | EffectError;
  /** The result of each record; published by default. */
  publish?: (record: WitNewRecord) => void | EffectError;
  /** The response of each HTTP request. By default, a request is an error. */
  fetch?: (request: Request) => Response | Promise<Response>;
}

/** A failure of an effect. */
export interface EffectError {
  error: WitEffectError['tag'];
  detail: string;
}

export interface LogLine {
  level: Level;
  text: string;
  fields: Record<string, string>;
}

/** A host that captures what a plugin does. */
export class TestHost {
  readonly log: LogLine[] = [];
  readonly emails: WitEmail[] = [];
  readonly records: { topic: string; key: string | null; value: string | null; headers: Record<string, string | null> }[] = [];
  readonly requests: Request[] = [];
  /** The number of times that the plugin has called `effects.keep`. */
  kept = 0;

  constructor(readonly options: HostOptions = {}) {}

  /** The outcome of a message. An exception that would end the call is thrown. */
  async handle(plugin: Plugin, message: TestMessage = {}): Promise<Outcome> {
    const [outcome] = await this.handleAll(plugin, [message]);
    if (!outcome) throw new Error('the plugin returned no outcome');
    return outcome;
  }

  /** The outcomes of messages that are handled in one call. */
  async handleAll(plugin: Plugin, messages: TestMessage[]): Promise<Outcome[]> {
    const before = globalThis.fetch;
    use(this.#imports());
    globalThis.fetch = (input, init) => this.#fetch(new Request(input, init));
    try {
      const outcomes = await plugin.handler.handle(messages.map(witMessage));
      return outcomes.map(fromWit);
    } finally {
      globalThis.fetch = before;
      use(undefined);
    }
  }

  async #fetch(request: Request): Promise<Response> {
    this.requests.push(request.clone());
    const { fetch } = this.options;
    if (!fetch) throw new TypeError(`${request.method} ${request.url}: the test has no response`);
    return fetch(request);
  }

  #imports(): Imports {
    return {
      get: (key) => (Object.hasOwn(this.options.config ?? {}, key) ? this.options.config?.[key] : undefined),
      write: (level, text, fields) => this.log.push({ level, text, fields: Object.fromEntries(fields) }),
      keep: () => (this.kept += 1),
      send: (emails) => emails.map((email) => this.#send(email)),
      publish: (records) => records.map((record) => this.#publish(record)),
    };
  }

  #send(email: WitEmail): WitResult<WitReceipt, WitEffectError> {
    this.emails.push(email);
    const answer = this.options.send?.(email) ?? {};
    if ('error' in answer) return { tag: 'err', val: { tag: answer.error, val: answer.detail } };
    return { tag: 'ok', val: { id: String(this.emails.length), response: answer.response ?? '250 OK', refused: answer.refused ?? [] } };
  }

  #publish(record: WitNewRecord): WitResult<{ partition: number; offset: number }, WitEffectError> {
    const failed = this.options.publish?.(record);
    if (failed) return { tag: 'err', val: { tag: failed.error, val: failed.detail } };
    const headers = Object.fromEntries(record.headers.map(({ key, value }) => [key, text(value)]));
    this.records.push({ topic: record.topic, key: text(record.key), value: text(record.value), headers });
    return { tag: 'ok', val: { partition: 0, offset: this.records.length - 1 } };
  }
}

function text(bytes: Uint8Array | null | undefined): string | null {
  return bytes ? decodeUtf8(bytes) : null;
}

function witMessage(message: TestMessage): WitMessage {
  return {
    id: message.id ?? 'test-0-0',
    topic: message.topic ?? 'test',
    partition: message.partition ?? 0,
    offset: BigInt(message.offset ?? 0),
    timestampMs: BigInt(message.timestampMs ?? 0),
    key: bytes(message.key),
    value: bytes(message.value),
    headers: Object.entries(message.headers ?? {}).map(([key, value]) => ({ key, value: bytes(value) })),
    attempt: message.attempt ?? 1,
    maxAttempts: message.maxAttempts ?? 6,
    attributes: [],
  };
}

function bytes(value: unknown): Uint8Array | undefined {
  if (value === null || value === undefined) return undefined;
  if (value instanceof Uint8Array) return value;
  return encodeUtf8(typeof value === 'string' ? value : JSON.stringify(value));
}

function fromWit(outcome: WitOutcome): Outcome {
  switch (outcome.tag) {
    case 'done':
      return { outcome: 'done', receipt: outcome.val };
    case 'skipped':
      return { outcome: 'skipped', reason: outcome.val };
    case 'reject':
      return { outcome: 'reject', ...outcome.val };
    case 'retry': {
      const { failure, afterMs } = outcome.val;
      return { outcome: 'retry', ...failure, ...(afterMs == null ? {} : { afterMs: Number(afterMs) }) };
    }
  }
}
