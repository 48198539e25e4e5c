import type { BundleMap } from '../source-map.js';

/** The places of the plugin's own code, from a source map of version 3: see `source-map.ts`. */
export function placesOf(text: string, file: string, isOwn: (source: string) => boolean): BundleMap {
  const { sources = [], mappings = '' } = JSON.parse(text) as { sources?: string[]; mappings?: string };
  const lines: Record<number, string> = {};
  // Of the last segment: source, line and column.
  const at: [number, number, number] = [0, 0, 0];
  for (const [line, segments] of mappings.split(';').entries()) {
    const own: string[] = [];
    let generated = 0;
    for (const segment of segments ? segments.split(',') : []) {
      const [move = 0, ...moves] = numbers(segment);
      generated += move;
      if (moves.length < 3) continue;
      at.forEach((value, index) => (at[index] = value + (moves[index] ?? 0)));
      if (isOwn(sources[at[0]] ?? '')) own.push([generated, ...at].join(' '));
    }
    if (own.length) lines[line] = own.join(';');
  }
  return { file, sources, lines };
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
