import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reject, Retry, done, plugin, reject, retry, skipped, type MessagePlugin, type ValuePlugin } from 'kafka-host-plugin';
import { TestHost, type TestMessage } from 'kafka-host-plugin/testing';
import { integer, object, string } from 'kafka-host-plugin/validate';

const about = { name: 'greeter', version: '1.0.0', summary: 'Greets', topic: 'names' };

function outcome(options: Partial<ValuePlugin<unknown>> | Partial<MessagePlugin>, message: TestMessage = { value: {} }) {
  return new TestHost().handle(plugin({ ...about, ...options } as ValuePlugin<unknown>), message);
}

test('all but name, version, summary and topic has a default', () => {
  const { describe } = plugin({ ...about, handle: () => {} }).lifecycle;
  assert.deepEqual(describe(), {
    ...{ name: 'greeter', version: '1.0.0', summary: 'Greets' },
    subscription: {
      topic: 'names',
      group: 'greeter-group',
      deadLetterTopic: 'names.dlt',
      retry: { retries: 5, delayMs: 1000, multiplier: 2, maxDelayMs: 3_600_000, jitter: 0, maxAgeMs: 86_400_000 },
    },
    attributes: [],
  });
});

test('what is given replaces the defaults', () => {
  const given = { group: 'g', deadLetterTopic: 'd', retry: { retries: 0, delayMs: 5 }, maxBatch: 10 };
  const { subscription, attributes } = plugin({ ...about, ...given, handle: () => {} }).lifecycle.describe();
  assert.deepEqual([subscription.group, subscription.deadLetterTopic], ['g', 'd']);
  assert.deepEqual([subscription.retry.retries, subscription.retry.delayMs, subscription.retry.multiplier], [0, 5, 2]);
  assert.deepEqual(attributes, [['max-batch', '10']]);
});

for (const [name, result, expected] of [
  ['nothing', undefined, { outcome: 'done', receipt: '' }],
  ['a receipt', 'r', { outcome: 'done', receipt: 'r' }],
  ['done', done('r'), { outcome: 'done', receipt: 'r' }],
  ['skipped', skipped('why'), { outcome: 'skipped', reason: 'why' }],
  ['retry', retry('busy', 'later'), { outcome: 'retry', code: 'busy', detail: 'later' }],
  ['retry after', retry('busy', 'later', 1500.4), { outcome: 'retry', code: 'busy', detail: 'later', afterMs: 1500 }],
  ['retry after no number', retry('busy', 'later', Number.NaN), { outcome: 'retry', code: 'busy', detail: 'later' }],
  ['retry after a negative time', retry('busy', 'later', -1), { outcome: 'retry', code: 'busy', detail: 'later' }],
  ['reject', reject('no', 'never'), { outcome: 'reject', code: 'no', detail: 'never' }],
  ['a Retry', new Retry('busy', 'later', 7), { outcome: 'retry', code: 'busy', detail: 'later', afterMs: 7 }],
  ['a Reject', new Reject('no', 'never'), { outcome: 'reject', code: 'no', detail: 'never' }],
] as const) {
  test(`a handler returns ${name}`, async () => {
    assert.deepEqual(await outcome({ handle: () => result }), expected);
    assert.deepEqual(await outcome({ handle: async () => result }), expected);
  });
}

test('a Retry and a Reject can be thrown, in asynchronous handlers too', async () => {
  const thrower = (error: Error) => () => {
    throw error;
  };
  assert.deepEqual(await outcome({ handle: thrower(new Retry('a', 'b', 9)) }), { outcome: 'retry', code: 'a', detail: 'b', afterMs: 9 });
  assert.deepEqual(await outcome({ handle: async () => thrower(new Reject('a', 'b'))() }), { outcome: 'reject', code: 'a', detail: 'b' });
});

test('any other exception ends the call, and so does a result that is no outcome', async () => {
  const fail = () => {
    throw new RangeError('bad thing: x');
  };
  await assert.rejects(outcome({ handle: fail }), { name: 'RangeError', message: 'bad thing: x' });
  await assert.rejects(outcome({ handle: async () => fail() }), { name: 'RangeError' });
  await assert.rejects(outcome({ handle: () => 7 as never }), /the handler returned a value of type number, which is no outcome/);
  await assert.rejects(outcome({ handle: () => ({ outcome: 'perhaps' }) as never }), /no outcome/);
});

test('what cannot be decoded is rejected, and the handler is not called', async () => {
  const validate = object({ name: string, age: integer });
  const options = { validate, handle: () => assert.fail('called') };
  for (const [value, code, detail] of [
    [null, 'tombstone', 'the message has no value'],
    [new Uint8Array([0xff, 0xfe]), 'invalid-message', 'the value is not UTF-8'],
    ['hello', 'invalid-message', /^the value is not JSON: /],
    ['', 'invalid-message', /^the value is not JSON: /],
    ['[]', 'invalid-message', 'the value: expected an object, found an array'],
    [{ name: 'Kim' }, 'invalid-message', 'age: expected an integer, found nothing'],
    [{ name: 1, age: 1 }, 'invalid-message', 'name: expected a string, found a number'],
  ] as const) {
    const rejected = await outcome(options as never, { value });
    assert.equal(rejected.outcome, 'reject');
    assert.ok(rejected.outcome === 'reject' && rejected.code === code);
    assert.match(rejected.detail, typeof detail === 'string' ? new RegExp(`^${detail}$`) : detail);
  }
});

test('any function that throws is a validator', async () => {
  const validate = (value: unknown) => {
    if (value !== 1) throw new TypeError('only 1');
    return value;
  };
  assert.deepEqual(await outcome({ validate, handle: () => 'one' }, { value: '1' }), done('one'));
  assert.deepEqual(await outcome({ validate, handle: () => 'one' }, { value: '2' }), reject('invalid-message', 'TypeError: only 1'));
});

test('a handler of messages gets tombstones, bytes and headers', async () => {
  const handleMessage: MessagePlugin['handleMessage'] = (message) => {
    assert.equal(message.value, null);
    assert.deepEqual([message.offset, message.timestampMs, message.attempt, message.maxAttempts], [5, 6, 2, 6]);
    assert.deepEqual([message.header('a'), message.header('b'), message.header('c')], ['한', undefined, undefined]);
    return 'deleted';
  };
  const message = { value: null, offset: 5, timestampMs: 6, attempt: 2, headers: { a: '한', b: null } };
  assert.deepEqual(await outcome({ handleMessage }, message), done('deleted'));
});

test('whatever has a `then` is awaited', async () => {
  const thenable = { then: (resolve: (value: string) => void) => resolve('later') };
  assert.deepEqual(await outcome({ handle: () => thenable as never }), done('later'));
});

test('the messages of a batch are handled one after the other', async () => {
  const running: string[] = [];
  const handle = async (value: unknown) => {
    running.push(`${value} begins`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running.push(`${value} ends`);
    if (value === 2) throw new Reject('two', 'is refused');
    return String(value);
  };
  const outcomes = await new TestHost().handleAll(plugin({ ...about, handle }), [{ value: 1 }, { value: 2 }, { value: 3 }]);
  assert.deepEqual(outcomes, [done('1'), reject('two', 'is refused'), done('3')]);
  assert.deepEqual(running, [1, 2, 3].flatMap((value) => [`${value} begins`, `${value} ends`]));
});

test('without promises a call ends at once', () => {
  const { handle } = plugin({ ...about, handle: () => 'x' }).handler;
  assert.deepEqual(handle([]), []);
});
