// Acts as its messages ask it to, like ../faulty: {"do": "throw"}.

import { Reject, Retry, plugin } from 'kafka-host-plugin';
import { about } from './about.js';

class OwnError extends Error {}

export default plugin({ ...about('faulty'), handle: act });

function act(request) {
  switch (request.do) {
    case 'sleep':
      return sleep(request.ms);
    case 'throw':
      return fail(request.message);
    case 'throw-own':
      throw new OwnError(request.message);
    case 'reject-promise':
      return rejectLater(request.message);
    case 'cause':
      return failWithCause(request.message);
    case 'throw-text':
      throw request.message;
    case 'recurse':
      return recurse(1);
    case 'retry':
      throw new Retry('busy', request.message, request.ms);
    case 'reject':
      throw new Reject('refused', request.message);
    case 'log':
      console.debug('console debug');
      console.log('console log');
      console.info('console info');
      console.warn('console warn');
      console.error('console error');
      return;
    case 'log-throw':
      console.log('before the failure');
      console.error('console error before it');
      return fail(request.message);
  }
}

async function sleep(ms) {
  await new Promise((resolve) => setTimeout(resolve, ms));
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
