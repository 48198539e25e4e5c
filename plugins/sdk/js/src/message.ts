import type { WitMessage } from './contract.js';
import { Reject } from './outcome.js';
import { decodeUtf8 } from './text.js';

/** A Kafka header. Names may repeat. */
export interface Header {
  readonly key: string;
  /** Null if the header has no value. */
  readonly value: Uint8Array | null;
}

/** A message, with the value as bytes. */
export class Message {
  /** The idempotency key, which is the same for every redelivery, retry and replay. */
  readonly id: string;
  /** The topic to which the message was originally published, also for a message from a retry topic. */
  readonly topic: string;
  /** The partition in that topic. */
  readonly partition: number;
  /** The offset in that partition. */
  readonly offset: number;
  /** The timestamp in milliseconds since the Unix epoch; 0 if the record has none. */
  readonly timestampMs: number;
  /** Null is a null key. */
  readonly key: Uint8Array | null;
  /** Null is a tombstone. */
  readonly value: Uint8Array | null;
  /** The sender's headers, without those that the host adds in retry topics. */
  readonly headers: readonly Header[];
  /** The number of the delivery; 1 is the first. */
  readonly attempt: number;
  /** The `attempt` of the last delivery under the retry policy. */
  readonly maxAttempts: number;
  /** Additions of later hosts. */
  readonly attributes: readonly (readonly [string, string])[];

  constructor(message: WitMessage) {
    this.id = message.id;
    this.topic = message.topic;
    this.partition = message.partition;
    // Kafka's offsets and times are far below 2^53.
    this.offset = Number(message.offset);
    this.timestampMs = Number(message.timestampMs);
    this.key = message.key ?? null;
    this.value = message.value ?? null;
    this.headers = message.headers.map(({ key, value }) => ({ key, value: value ?? null }));
    this.attempt = message.attempt;
    this.maxAttempts = message.maxAttempts;
    this.attributes = message.attributes;
  }

  /** The value as text. Throws {@link Reject}: `tombstone` without a value, `invalid-message` if it is not UTF-8. */
  text(): string {
    if (this.value === null) throw new Reject('tombstone', 'the message has no value');
    try {
      return decodeUtf8(this.value);
    } catch {
      throw new Reject('invalid-message', 'the value is not UTF-8');
    }
  }

  /** The value as JSON. Throws as {@link text} does, and `invalid-message` if it is not JSON. */
  json(): unknown {
    const text = this.text();
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new Reject('invalid-message', `the value is not JSON: ${error instanceof Error ? error.message : ''}`);
    }
  }

  /** The value of the last header with this name, as text; undefined if there is none, or it has no value in UTF-8. */
  header(name: string): string | undefined {
    const found = this.headers.filter((header) => header.key === name).at(-1)?.value;
    try {
      return found ? decodeUtf8(found) : undefined;
    } catch {
      return undefined;
    }
  }
}
