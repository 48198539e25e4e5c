import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestHost } from 'kafka-host-plugin/testing';
import plugin from '../src/plugin.js';

const greet = (value) => new TestHost().handle(plugin, { value });

test('somebody is greeted', async () => {
  assert.deepEqual(await greet({ name: 'Kim' }), { outcome: 'done', receipt: 'greeted' });
});

test('nobody is not greeted', async () => {
  const outcome = await greet({ name: ' ' });
  assert.equal(outcome.outcome === 'reject' && outcome.code, 'no-name');
});
