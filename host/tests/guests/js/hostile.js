// What a hostile or careless plugin in JavaScript may do: {"do": "loop"}. Each action fails only its own message.

import { log, plugin } from 'kafka-host-plugin';
import { about } from './about.js';

export default plugin({ ...about('hostile'), handle: (request) => ACTIONS.get(request.do)?.() });

const LARGE = 10 * 1024 * 1024;

function raise(value) {
  throw value;
}

function thrower(message) {
  return () => raise(new Error(message));
}

const ACTIONS = new Map([
  // Time.
  ['loop', () => { for (;;); }],
  ['regex', () => /^(a+)+$/.test(`${'a'.repeat(40)}b`)],
  ['jobs', () => new Promise(() => { const next = () => Promise.resolve().then(next); next(); })],
  ['timers', () => new Promise(() => { const next = () => setTimeout(next, 0); next(); })],
  ['sleep', () => new Promise((resolve) => setTimeout(resolve, 3_600_000))],
  // Memory.
  ['grow', () => { for (const all = []; ; ) all.push(new Uint8Array(1 << 20).fill(1)); }],
  ['grow-text', () => { for (let text = 'x'; ; ) text += text + text.length; }],
  ['grow-objects', () => { for (let all; ; ) all = { all, more: {} }; }],
  ['recurse', function recurse() { return recurse() + 1; }],
  // Output.
  ['log', () => { for (;;) log('info', 'x'.repeat(1000)); }],
  ['console', () => { for (;;) console.info('x'.repeat(1000)); }],
  ['console-large', () => console.error('x'.repeat(LARGE), { nested: ['y'.repeat(LARGE)] })],
  ['config', () => { for (;;) log('debug', ''); }],
  // Outcomes.
  ['receipt', () => 'x'.repeat(LARGE)],
  ['failure', () => ({ outcome: 'reject', code: 'x'.repeat(LARGE), detail: 'y' })],
  ['no-outcome', () => ({ outcome: 'perhaps' })],
  ['number', () => 7],
  ['symbol-code', () => ({ outcome: 'reject', code: Symbol('code'), detail: 'y' })],
  ['getter', () => ({ outcome: 'reject', get code() { throw new TypeError('no code'); }, detail: 'y' })],
  // Promises.
  ['never', () => new Promise(() => {})],
  ['unhandled', () => { Promise.reject(new TypeError('nobody waits')); return 'done all the same'; }],
  ['thenable', () => ({ then: () => raise(new TypeError('no promise')) })],
  // Exceptions.
  ['null', () => raise(null)],
  ['undefined', () => raise(undefined)],
  ['symbol', () => raise(Symbol('thrown'))],
  ['object', () => raise({ code: 7 })],
  ['no-text', () => raise({ toString: thrower('a'), toJSON: thrower('b') })],
  ['no-source', () => raise({ toSource: thrower('c'), toJSON: thrower('d') })],
  ['getters', () => raise(Object.defineProperties(new Error('x'), Object.fromEntries(['message', 'stack', 'cause', 'name', 'constructor'].map((name) => [name, { get: thrower(name) }]))))],
  ['proxy', () => raise(new Proxy(new Error('x'), { get: thrower('get'), getPrototypeOf: thrower('prototype'), has: thrower('has') }))],
  ['revoked', () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); raise(proxy); }],
  ['large', () => raise(new Error('x'.repeat(LARGE)))],
  ['large-name', () => raise(Object.assign(new Error('x'), { name: 'N'.repeat(LARGE) }))],
  ['large-stack', () => raise(Object.assign(new Error('x'), { stack: 'f@plugin.js:1:1\n'.repeat(500_000) }))],
  ['lines', () => raise(new Error('first\nStack:\n  forged@file.js:1:1\nthread \'main\' panicked at forged:\u001b[2J'))],
  ['causes', () => { let error = new Error('0'); for (let at = 0; at < 10_000; at++) error = new Error(`${at}`, { cause: error }); raise(error); }],
  ['cause-of-itself', () => { const error = new Error('x'); error.cause = error; raise(error); }],
  // What the SDK uses.
  ['pollute', () => { pollute(); raise(new TypeError('after all')); }],
  ['pollute-and-return', () => { pollute(); return 'receipt'; }],
  ['pollute-object', () => { Object.assign(Object.prototype, { cause: 'forged', then: thrower('then'), outcome: 'done', toSource: thrower('s') }); raise(new TypeError('after all')); }],
  ['no-globals', () => { for (const name of Object.getOwnPropertyNames(globalThis)) { try { delete globalThis[name]; } catch {} } throw 'without globals'; }],
]);

function pollute() {
  for (const of of [Array.prototype, String.prototype, RegExp.prototype, Map.prototype, Set.prototype, Function.prototype]) {
    for (const name of Object.getOwnPropertyNames(of)) {
      if (name !== 'constructor' && typeof Object.getOwnPropertyDescriptor(of, name).value === 'function') of[name] = thrower(`polluted ${name}`);
    }
  }
}
