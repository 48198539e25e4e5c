import type { BundleFrame, Frame } from './exception.js';

/** The places of the plugin's own code, as the build appends them to the bundle. */
export interface BundleMap {
  /** The name of the bundle in stacks. */
  file: string;
  sources: string[];
  /**
   * By the line of the bundle: `column source line column`, separated by `;`, all from 0. A line without the plugin's own
   * code is not there. Texts, because a line is read only when an exception ends a call.
   */
  lines: Record<number, string>;
}

/** Where the build puts the map. */
const KEY = '__kafkaHostSourceMap';

/** The frame at its place in the source; undefined if it is not the plugin's own. Without a map, all are. */
export function mapped(frame: BundleFrame | undefined): Frame | undefined {
  if (!frame) return undefined;
  const map = (globalThis as Record<string, unknown>)[KEY] as BundleMap | undefined;
  const { name, file, line, column } = frame;
  if (!map) return { name, place: `${file}:${line}:${column}` };
  const found = file.endsWith(map.file) ? place(map, line - 1, column - 1) : undefined;
  return found ? { name, place: found } : undefined;
}

/** `src/plugin.ts:45:9`: the last place of a line at or before the column, or else its first. */
export function place({ lines, sources }: BundleMap, line: number, column: number): string | undefined {
  let found: number[] | undefined;
  for (const text of lines[line]?.split(';') ?? []) {
    const numbers = text.split(' ').map(Number);
    if (found && (numbers[0] as number) > column) break;
    found = numbers;
  }
  if (!found) return undefined;
  const [, source = 0, row = 0, col = 0] = found;
  return `${sources[source]}:${row + 1}:${col + 1}`;
}
