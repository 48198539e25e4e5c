import { publish as publishAll } from 'kafka-host:plugin/produce@0.2.0';
import type { WitEffectError, WitHeader } from './contract.js';
import { Reject, Retry } from './outcome.js';
import { encodeUtf8 } from './text.js';

/** Bytes, or a text that becomes UTF-8, or null. */
export type Bytes = Uint8Array | string | null;

export interface NewRecord {
  topic: string;
  /** The key decides the partition, as in Kafka's Java client. Null by default. */
  key?: Bytes;
  /** Null is a tombstone. */
  value: Bytes;
  headers?: Record<string, Bytes> | [string, Bytes][];
}

/** The position of a published record. */
export interface Position {
  partition: number;
  offset: number;
}

/** The result for one record, for a handler that looks itself. */
export type PublishResult = { ok: Position } | { error: 'transient' | 'permanent' | 'denied'; detail: string };

/** Publishes records, and throws nothing. One result per record, in order. */
export function tryPublish(records: NewRecord[]): PublishResult[] {
  const results = publishAll(records.map(complete));
  return records.map((_, index) => {
    const result = results[index];
    if (!result) return { error: 'transient', detail: 'the host returned no result for the record' };
    if (result.tag === 'err') return { error: result.val.tag, detail: result.val.val };
    return { ok: { partition: result.val.partition, offset: Number(result.val.offset) } };
  });
}

/**
 * Publishes a record. Throws {@link Retry}: `produce-transient`. Throws {@link Reject}: `produce-permanent` or
 * `produce-denied`. A record that was accepted is not published again when the message is delivered again.
 */
export function publish(record: NewRecord): Position {
  return positionOf(tryPublish([record])[0] as PublishResult);
}

/** Publishes several records at once, and throws for the first that failed. Others may have been published. */
export function publishEach(records: NewRecord[]): Position[] {
  return tryPublish(records).map(positionOf);
}

function positionOf(result: PublishResult): Position {
  if ('ok' in result) return result.ok;
  const code = `produce-${result.error satisfies WitEffectError['tag']}`;
  throw result.error === 'transient' ? new Retry(code, result.detail) : new Reject(code, result.detail);
}

function complete({ topic, key, value, headers = {} }: NewRecord) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  const all: WitHeader[] = pairs.map(([name, bytes]) => ({ key: name, value: encoded(bytes) }));
  return { topic, key: encoded(key), value: encoded(value), headers: all };
}

function encoded(bytes: Bytes | undefined): Uint8Array | undefined {
  if (bytes === null || bytes === undefined) return undefined;
  return typeof bytes === 'string' ? encodeUtf8(bytes) : bytes;
}
