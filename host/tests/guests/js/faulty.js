// Acts as its messages ask it to, like ../faulty: {"do": "throw"}.

import { description, text } from './shared.js';
import { sleep } from './sleep.js';

export const lifecycle = {
  describe: () => description('faulty', []),
};

export const handler = {
  handle: (batch) => act(JSON.parse(text(batch[0].value))),
};

function act(request) {
  switch (request.do) {
    case 'sleep':
      return sleep(request.ms, done());
    case 'throw':
      return fail(request.message);
    case 'reject-promise':
      return rejectLater(request.message);
    case 'cause':
      return failWithCause(request.message);
    case 'throw-text':
      throw request.message;
    case 'recurse':
      return recurse(1);
    case 'log':
      console.debug('console debug');
      console.log('console log');
      console.info('console info');
      console.warn('console warn');
      console.error('console error');
      return done();
    case 'log-throw':
      console.log('before the failure');
      console.error('console error before it');
      return fail(request.message);
    default:
      return done();
  }
}

function fail(message) {
  throw new TypeError(message);
}

async function rejectLater(message) {
  await undefined;
  fail(message);
}

function failWithCause(message) {
  try {
    fail(message);
  } catch (cause) {
    throw new Error('outer', { cause });
  }
}

function recurse(depth) {
  return recurse(depth + 1) + 1;
}

function done() {
  return [{ tag: 'done', val: '' }];
}
