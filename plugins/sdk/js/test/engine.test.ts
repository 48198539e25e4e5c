import assert from 'node:assert/strict';
import { test } from 'node:test';
import { line } from '../dist/console.js';
import { OwnPromise } from '../dist/engine/promise.js';
import { addTimer, drained, useClock } from '../dist/engine/queue.js';
import { TextDecoder as OwnDecoder } from '../dist/engine/text.js';
import { placesOf } from '../dist/build/map.js';
import { parsed } from '../dist/exception.js';
import { place } from '../dist/source-map.js';
import { decodeUtf8, encodeUtf8 } from '../dist/text.js';

/** Runs without the globals that QuickJS does not have. */
function asInQuickJs<T>(run: () => T): T {
  const { TextDecoder, TextEncoder } = globalThis;
  Object.assign(globalThis, { TextDecoder: undefined, TextEncoder: undefined });
  try {
    return run();
  } finally {
    Object.assign(globalThis, { TextDecoder, TextEncoder });
  }
}

test('UTF-8 is the same without TextDecoder', () => {
  for (const text of ['', 'a', 'é한🎉\u0000', '\uD800', 'x\uDC00y', '가'.repeat(10_000)]) {
    const bytes = new TextEncoder().encode(text);
    assert.deepEqual(asInQuickJs(() => encodeUtf8(text)), bytes);
    assert.equal(asInQuickJs(() => decodeUtf8(bytes)), new TextDecoder().decode(bytes));
  }
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80]]) {
    assert.throws(() => asInQuickJs(() => decodeUtf8(new Uint8Array(bytes))), TypeError, String(bytes));
    assert.match(asInQuickJs(() => new OwnDecoder().decode(new Uint8Array([97, ...bytes, 98]))), /^a\uFFFD+b$/);
  }
});

/** What a promise of the SDK comes to, when its jobs are run. */
function settled(promise: OwnPromise): unknown {
  let result: unknown = 'pending';
  promise.then(
    (value: unknown) => (result = value),
    (error: unknown) => (result = error),
  );
  while (drained());
  return result;
}

test('promises of the SDK are promises', () => {
  const later = (value: unknown) => new OwnPromise((resolve) => queued(() => resolve(value)));
  const queued = (run: () => void) => OwnPromise.resolve().then(run);
  const error = new Error('x');
  assert.equal(settled(later(later(1))), 1);
  assert.equal(settled(later(1).then((value: unknown) => later(`${value}2`))), '12');
  assert.equal(settled(OwnPromise.reject(error)), error);
  assert.equal(settled(OwnPromise.reject(error).catch(() => 'caught')), 'caught');
  assert.equal(settled(later(1).finally(() => later(2))), 1);
  assert.equal(settled(OwnPromise.reject(error).finally(() => 3)), error);
  assert.deepEqual(settled(OwnPromise.all([1, later(2)])), [1, 2]);
  assert.deepEqual(settled(OwnPromise.all([])), []);
  assert.equal(settled(OwnPromise.all([1, OwnPromise.reject(error)])), error);
  assert.equal(settled(OwnPromise.race([later(1), 2])), 2);
  assert.equal(settled(OwnPromise.any([OwnPromise.reject(error), later(2)])), 2);
  assert.ok(settled(OwnPromise.any([OwnPromise.reject(error)])) instanceof AggregateError);
  assert.deepEqual(settled(OwnPromise.allSettled([1, OwnPromise.reject(error)])), [
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: error },
  ]);
  assert.equal(settled(new OwnPromise(() => {})), 'pending');
  assert.equal(settled(new OwnPromise(() => assert.fail(error))), error);
  const trap = {
    get then() {
      throw error;
    },
  };
  assert.equal(settled(OwnPromise.resolve(trap)), error);
  const { promise, resolve } = OwnPromise.withResolvers();
  resolve(promise);
  assert.ok(settled(promise) instanceof TypeError);
});

test('a promise is resolved once, and its reactions run later and in order', () => {
  const order: string[] = [];
  const promise = new OwnPromise((resolve, reject) => {
    resolve(1);
    reject(2);
    resolve(3);
  });
  promise.then((value: unknown) => order.push(`first ${value}`));
  promise.then((value: unknown) => order.push(`second ${value}`));
  order.push('at once');
  settled(promise);
  assert.deepEqual(order, ['at once', 'first 1', 'second 1']);
});

test('timers run in the order of their times', () => {
  let time = 0;
  useClock({ now: () => time, wait: (ms) => (time += Math.max(0, ms)) });
  const order: string[] = [];
  addTimer(() => order.push(`b at ${time}`), 20);
  addTimer(() => order.push(`a at ${time}`), 10);
  while (drained());
  assert.deepEqual(order, ['a at 10', 'b at 20']);
});

test('frames of both engines are read', () => {
  const frame = { name: 'fail', file: 'plugin.js', line: 45, column: 9 };
  assert.deepEqual(parsed('fail@plugin.js:45:9'), frame);
  assert.deepEqual(parsed('    at fail (/plugin.js:45:9)'), { ...frame, file: '/plugin.js' });
  assert.deepEqual(parsed('    at <anonymous> (/plugin.js:45:9)'), { ...frame, name: '', file: '/plugin.js' });
  assert.deepEqual(parsed('@plugin.js:45:9'), { ...frame, name: '' });
  assert.equal(parsed('    at call (native)'), undefined);
  assert.equal(parsed(''), undefined);
});

test('a place in the bundle is found in the source map', () => {
  // Line 0: column 0 is 0:0 of source 0, column 4 is 2:3 of source 1. Line 2: column 1 is 1:3 of source 1.
  const map = JSON.stringify({ sources: ['sdk.js', 'src/plugin.ts'], mappings: 'AAAA,ICEG;;CDDA,GCAA' });
  const all = placesOf(map, 'plugin.js', () => true);
  assert.deepEqual(all.lines, { 0: '0 0 0 0;4 1 2 3', 2: '1 0 1 3;4 1 1 3' });
  assert.equal(place(all, 0, 2), 'sdk.js:1:1');
  assert.equal(place(all, 0, 9), 'src/plugin.ts:3:4');
  assert.equal(place(all, 2, 0), 'sdk.js:2:4', 'before the first column');
  const own = placesOf(map, 'plugin.js', (source) => source.startsWith('src/'));
  assert.deepEqual(own.lines, { 0: '4 1 2 3', 2: '4 1 1 3' });
  assert.equal(place(own, 1, 0), undefined);
  assert.equal(place(own, 7, 0), undefined);
});

test('console prints any value', () => {
  const circular: Record<string, unknown> = { a: 1 };
  circular['self'] = circular;
  const hostile = {
    get a() {
      throw new Error('no');
    },
  };
  const deep = JSON.parse(`${'['.repeat(1000)}${']'.repeat(1000)}`) as unknown;
  for (const [values, text] of [
    [['a', 1, 2n, null, undefined, true], 'a 1 2n null undefined true'],
    [[{ a: 'b', c: [1, { d: 2 }] }], '{a: "b", c: [1, {d: 2}]}'],
    [[new TypeError('x'), new Uint8Array(3), Symbol('s')], 'TypeError: x [3 bytes] Symbol(s)'],
    [[circular], '{a: 1, self: [circular]}'],
    [[hostile], '[object that cannot be shown]'],
    [[deep], '[[[[[…]]]]]'],
  ] as [unknown[], string][]) {
    assert.equal(line(values), text);
  }
  assert.equal(line(['x'.repeat(1_000_000)]).length, 8192);
});
