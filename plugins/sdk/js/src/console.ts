import { write } from 'kafka-host:plugin/log@0.2.0';
import type { Attributes, Level } from './contract.js';
import { engine } from './engine/current.js';

/** Writes a line to the host's log, which adds plugin, topic, partition and offset. */
export function log(level: Level, text: string, fields: Record<string, unknown> = {}): void {
  const attributes: Attributes = Object.entries(fields).map(([name, value]) => [name, formatted(value)]);
  write(level, text, attributes);
}

/** The depth and length to which a value is printed: a line of the host's log has at most 8 KiB. */
const MAX_DEPTH = 4;
const MAX_LENGTH = 8192;

/**
 * `console` writes to the host's log at its own levels. Printed text would be at the level info: the host does not see
 * by which function it was printed. QuickJS has no console. In a unit test, the test runner's console stays.
 */
export function installConsole(): void {
  if (engine === 'node') return;
  const at = (level: Level) => (...values: unknown[]) => write(level, line(values), []);
  const own = {
    trace: at('trace'),
    debug: at('debug'),
    log: at('info'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    assert: (condition: unknown, ...values: unknown[]) => {
      if (!condition) write('error', `assertion failed: ${line(values)}`, []);
    },
  };
  (globalThis as { console?: unknown }).console = Object.assign((globalThis as { console?: object }).console ?? {}, own);
}

/** The values, separated by spaces. */
export function line(values: unknown[]): string {
  return values.map(formatted).join(' ').slice(0, MAX_LENGTH);
}

function formatted(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return shown(value, 0, new Set());
  } catch {
    return `[${typeof value} that cannot be shown]`;
  }
}

function shown(value: unknown, depth: number, within: Set<object>): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, MAX_LENGTH));
  if (typeof value === 'function') return `[function ${value.name}]`;
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? `${value}n` : String(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (within.has(value)) return '[circular]';
  if (depth === MAX_DEPTH) return Array.isArray(value) ? '[…]' : '{…}';
  within.add(value);
  const inner = (item: unknown) => shown(item, depth + 1, within);
  const text = Array.isArray(value)
    ? `[${value.slice(0, 100).map(inner).join(', ')}${value.length > 100 ? ', …' : ''}]`
    : `{${Object.entries(value).slice(0, 100).map(([name, field]) => `${name}: ${inner(field)}`).join(', ')}}`;
  within.delete(value);
  return text;
}
