/** Message handlers for the Kafka host: see README.md. */
export { log } from './console.js';
export * as config from './config.js';
export * as effects from './effects.js';
export { Message, type Header } from './message.js';
export { Reject, Retry, done, reject, retry, skipped, type Outcome, type Result } from './outcome.js';
export { plugin, type Description, type MessagePlugin, type Plugin, type RetryPolicy, type ValuePlugin } from './plugin.js';
export { decodeUtf8, encodeUtf8 } from './text.js';
