import type { Level, WitEffectError, WitEmail, WitNewRecord, WitPosition, WitReceipt, WitResult } from '../contract.js';

/** What the stubs of the contract's imports do: the host of the running test. */
export interface Imports {
  get(key: string): string | undefined;
  write(level: Level, text: string, fields: [string, string][]): void;
  keep(): void;
  send(emails: WitEmail[]): WitResult<WitReceipt, WitEffectError>[];
  publish(records: WitNewRecord[]): WitResult<WitPosition, WitEffectError>[];
}

/** One for all copies of this module: the stubs and the test may have loaded two. */
const KEY = Symbol.for('kafka-host-plugin/testing');
const shared = globalThis as { [KEY]?: Imports };

export function use(imports: Imports | undefined): void {
  if (imports) shared[KEY] = imports;
  else delete shared[KEY];
}

export function current(): Imports {
  const imports = shared[KEY];
  if (!imports) throw new Error('there is no host\n  help: call the plugin with `new TestHost().handle(plugin, …)`');
  return imports;
}
