// What the guests in JavaScript share.

// The engine's name in the names of plugins: StarlingMonkey is `js`. Not the plain name, which the build replaces by a shim.
export const ENGINE = globalThis.TextDecoder ? 'js' : 'qjs';

export function about(base) {
  const name = `${base}-${ENGINE}`;
  return { name, version: '0.2.0', summary: 'A guest in JavaScript', topic: name };
}
