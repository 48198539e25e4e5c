import { get as configured } from 'kafka-host:plugin/config@0.2.0';
import { Reject } from './outcome.js';

/** The value of a key in the plugin's configuration (`config` of its `[[plugin]]` table); undefined if there is none. */
export function get(key: string): string | undefined {
  return configured(key) ?? undefined;
}

/** The same, which must be there: otherwise the message is rejected with the code `missing-config`. */
export function require(key: string): string {
  const value = get(key);
  if (value === undefined) throw new Reject('missing-config', `the plugin's configuration has no value ${JSON.stringify(key)}`);
  return value;
}
