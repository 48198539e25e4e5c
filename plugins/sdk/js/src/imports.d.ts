// The imports of the contract. The build leaves them in the bundle, and makes a world of those that are left.

declare module 'kafka-host:plugin/config@0.2.0' {
  export function get(key: string): string | null | undefined;
}

declare module 'kafka-host:plugin/log@0.2.0' {
  export function write(
    level: 'trace' | 'debug' | 'info' | 'warn' | 'error',
    text: string,
    fields: [string, string][],
  ): void;
}

declare module 'kafka-host:plugin/effects@0.2.0' {
  export function keep(): void;
}

declare module 'kafka-host:plugin/mail@0.2.0' {
  import type { WitEffectError, WitEmail, WitReceipt, WitResult } from './contract.js';
  export function send(emails: WitEmail[]): WitResult<WitReceipt, WitEffectError>[];
}

declare module 'kafka-host:plugin/produce@0.2.0' {
  import type { WitEffectError, WitNewRecord, WitPosition, WitResult } from './contract.js';
  export function publish(records: WitNewRecord[]): WitResult<WitPosition, WitEffectError>[];
}

// Of WASI, for timers in QuickJS.
declare module 'wasi:clocks/monotonic-clock@0.2.6' {
  export function now(): number;
  export function subscribeDuration(nanoseconds: number): { block(): void };
}
