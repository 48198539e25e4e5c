import { decodeUtf8, encodeUtf8 } from '../text.js';

/** TextDecoder and TextEncoder for QuickJS. The build adds this module to a bundle that uses them. */

class OwnTextDecoder {
  readonly encoding = 'utf-8';
  readonly fatal: boolean;

  constructor(label = 'utf-8', { fatal = false }: { fatal?: boolean } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`${label}: only UTF-8 can be decoded`);
    this.fatal = fatal;
  }

  decode(bytes: Uint8Array = new Uint8Array()): string {
    try {
      return decodeUtf8(bytes);
    } catch (error) {
      if (this.fatal) throw error;
      return lossy(bytes);
    }
  }
}

/** Each byte that is no part of a character is U+FFFD. */
function lossy(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = [4, 3, 2, 1].find((length) => at + length <= bytes.length && isText(bytes.subarray(at, at + length)));
    text += length ? decodeUtf8(bytes.subarray(at, at + length)) : '\uFFFD';
    at += length ?? 1;
  }
  return text;
}

function isText(bytes: Uint8Array): boolean {
  try {
    decodeUtf8(bytes);
    return true;
  } catch {
    return false;
  }
}

class OwnTextEncoder {
  readonly encoding = 'utf-8';

  encode(text = ''): Uint8Array {
    return encodeUtf8(text);
  }
}

export { OwnTextDecoder as TextDecoder, OwnTextEncoder as TextEncoder };
