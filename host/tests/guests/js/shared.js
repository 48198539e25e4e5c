// What the guests in JavaScript share. QuickJS has no TextDecoder.

const decoder = typeof TextDecoder === 'undefined' ? undefined : new TextDecoder('utf-8', { fatal: true });

// The engine's name in the names of plugins: StarlingMonkey is `js`.
const ENGINE = decoder ? 'js' : 'qjs';

export function text(bytes) {
  if (decoder) return decoder.decode(bytes);
  let binary = '';
  for (let from = 0; from < bytes.length; from += 8192) {
    binary += String.fromCharCode.apply(null, bytes.subarray(from, from + 8192));
  }
  // Throws if it is not UTF-8.
  return decodeURIComponent(escape(binary));
}

export function description(base, attributes) {
  const name = `${base}-${ENGINE}`;
  return {
    name,
    version: '0.1.0',
    summary: 'A guest in JavaScript',
    subscription: {
      topic: name,
      group: `${name}-group`,
      deadLetterTopic: `${name}.dlt`,
      retry: {
        retries: 5,
        delayMs: wide(1000),
        multiplier: 2,
        maxDelayMs: wide(3_600_000),
        jitter: 0,
        maxAgeMs: wide(86_400_000),
      },
    },
    attributes,
  };
}

// A u64 is a BigInt in StarlingMonkey, and a number in QuickJS.
function wide(number) {
  return ENGINE === 'js' ? BigInt(number) : number;
}
