import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestHost } from 'kafka-host-plugin/testing';
import plugin from '../src/plugin.ts';

test('a name is greeted in its language', async () => {
  const host = new TestHost({ config: { language: 'ko' } });
  const greet = (value: unknown) => host.handle(plugin, { value });
  assert.deepEqual(await greet({ name: 'Kim' }), { outcome: 'done', receipt: '안녕하세요, Kim!' });
  assert.deepEqual(await greet({ name: 'Kim', language: 'en' }), { outcome: 'done', receipt: 'Hello, Kim!' });
});

test('a message without a name is rejected, and an unknown language too', async () => {
  const reject = async (value: unknown) => {
    const outcome = await new TestHost().handle(plugin, { value });
    return outcome.outcome === 'reject' ? `${outcome.code}: ${outcome.detail}` : outcome.outcome;
  };
  assert.equal(await reject({}), 'invalid-message: name: expected a string, found nothing');
  assert.equal(await reject({ name: 'Kim', language: 'xx' }), 'unknown-language: there is no greeting in xx');
  assert.equal(await reject({ name: ' ' }), 'skipped');
});
