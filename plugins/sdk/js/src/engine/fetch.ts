/** Its presence in a bundle shows that the plugin uses `fetch`, and needs `wasi:http`. */
export const fetch: typeof globalThis.fetch = (input, init) => globalThis.fetch(input, init);
