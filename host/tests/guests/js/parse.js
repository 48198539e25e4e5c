// Reads the fields of an e-mail from JSON and discards them, as ../parse does: the guest of the benchmarks.

import { plugin, reject } from 'kafka-host-plugin';
import { about } from './about.js';

const FIELDS = ['from', 'to', 'subject', 'body'];

export default plugin({
  ...about('parse'),
  maxBatch: 1000,
  handle: (message) => {
    const missing = FIELDS.find((field) => message[field] === undefined);
    return missing === undefined ? '' : reject('invalid-message', `${missing} is missing`);
  },
});
