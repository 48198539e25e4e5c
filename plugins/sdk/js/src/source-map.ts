import type { BundleFrame, Frame } from './exception.js';

/** The source map that the build appends to the bundle. */
interface BundleMap {
  /** The name of the bundle in stacks. */
  file: string;
  /** Names of sources; null if a source is not the plugin's own: its frames are left out. */
  sources: (string | null)[];
  /** As in a source map of version 3. */
  mappings: string;
}

/** Where the build puts the map. Not in the module's scope: it comes last in the bundle, so that no line moves. */
const KEY = '__kafkaHostSourceMap';

/** The frame at its place in the source; undefined if it is not the plugin's own. Without a map, all are. */
export function mapped(frame: BundleFrame | undefined): Frame | undefined {
  if (!frame) return undefined;
  const map = (globalThis as Record<string, unknown>)[KEY] as BundleMap | undefined;
  const { name, file, line, column } = frame;
  if (!map) return { name, place: `${file}:${line}:${column}` };
  if (!file.endsWith(map.file)) return undefined;
  const found = place(map.mappings, line - 1, column - 1);
  const source = found && map.sources[found.source];
  return source ? { name, place: `${source}:${found.line + 1}:${found.column + 1}` } : undefined;
}

interface Place {
  source: number;
  line: number;
  column: number;
}

/** The last mapping of a line at or before the column. Lines and columns count from 0. */
export function place(mappings: string, line: number, column: number): Place | undefined {
  const at = { source: 0, line: 0, column: 0 };
  let found: Place | undefined;
  for (const [index, segments] of mappings.split(';').entries()) {
    if (index > line) break;
    let generated = 0;
    for (const segment of segments ? segments.split(',') : []) {
      const [move = 0, source, row = 0, col = 0] = numbers(segment);
      generated += move;
      if (source === undefined) continue;
      at.source += source;
      at.line += row;
      at.column += col;
      // A frame without a mapping before its column has the first one.
      if (index === line && (generated <= column || !found)) found = { ...at };
    }
  }
  return found;
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The numbers of a segment, in base 64 VLQ. */
function numbers(segment: string): number[] {
  const all: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    all.push(value & 1 ? -(value >> 1) : value >> 1);
    value = 0;
    shift = 0;
  }
  return all;
}
