// Reads the fields of an e-mail from JSON and discards them, as ../parse does: the guest of the benchmarks.

import { description, text } from './shared.js';

export const lifecycle = {
  describe: () => description('parse', [['max-batch', '1000']]),
};

export const handler = {
  handle: (batch) => batch.map(parse),
};

function parse({ value }) {
  let message;
  try {
    message = JSON.parse(text(value));
  } catch (error) {
    return { tag: 'reject', val: { code: 'invalid-message', detail: error.message } };
  }
  const missing = ['from', 'to', 'subject', 'body'].find((field) => message[field] === undefined);
  if (missing !== undefined) {
    return { tag: 'reject', val: { code: 'invalid-message', detail: `${missing} is missing` } };
  }
  return { tag: 'done', val: '' };
}
