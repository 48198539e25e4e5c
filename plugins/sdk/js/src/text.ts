/** UTF-8, also in QuickJS, which has no TextDecoder and no TextEncoder. */

/** The text of bytes; throws a TypeError if they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string {
  // By way of `globalThis`: the build replaces the plain names by shims that end here.
  if (globalThis.TextDecoder) return new globalThis.TextDecoder('utf-8', { fatal: true }).decode(bytes);
  try {
    return decodeURIComponent(escape(latin1(bytes)));
  } catch {
    throw new TypeError('the bytes are not UTF-8');
  }
}

/** The bytes of a text. */
export function encodeUtf8(text: string): Uint8Array {
  if (globalThis.TextEncoder) return new globalThis.TextEncoder().encode(text);
  // `toWellFormed` would do; a lone surrogate is U+FFFD, as TextEncoder writes it.
  const wellFormed = text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD');
  const binary = unescape(encodeURIComponent(wellFormed));
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** A character for each byte, in pieces: `apply` has a limit of arguments. */
function latin1(bytes: Uint8Array): string {
  let binary = '';
  for (let from = 0; from < bytes.length; from += 8192) {
    binary += String.fromCharCode.apply(null, bytes.subarray(from, from + 8192) as unknown as number[]);
  }
  return binary;
}

// Annex B, which both engines have and TypeScript no longer declares as current.
declare function escape(text: string): string;
declare function unescape(text: string): string;
