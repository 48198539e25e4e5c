import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { TestHost, type HostOptions, type TestMessage } from 'kafka-host-plugin/testing';
import plugin from '../src/plugin.ts';

const config = { url: 'https://hooks.example.com/in', secret: 'hush' };
const message: TestMessage = { id: 'm1', timestampMs: 1_764_482_400_999, value: { order: 7 } };

async function forward(fetch: HostOptions['fetch'], given: TestMessage = message) {
  const host = new TestHost({ config, ...(fetch ? { fetch } : {}) });
  const outcome = await host.handle(plugin, given);
  return { outcome, requests: host.requests };
}

const answer = (status: number, headers: Record<string, string> = {}) => () =>
  new Response(status === 204 ? null : 'said', { status, headers });

test('the value is posted as it is, with a signature that the receiver can check', async () => {
  const { outcome, requests } = await forward(answer(200));
  assert.deepEqual(outcome, { outcome: 'done', receipt: '200' });
  const [request] = requests;
  assert.ok(request && requests.length === 1);
  assert.deepEqual([request.method, request.url, request.redirect], ['POST', 'https://hooks.example.com/in', 'manual']);
  assert.equal(await request.text(), '{"order":7}');
  const expected = createHmac('sha256', 'hush').update('m1.1764482400.{"order":7}').digest('base64');
  assert.equal(request.headers.get('webhook-signature'), `v1,${expected}`);
  assert.deepEqual([request.headers.get('webhook-id'), request.headers.get('webhook-timestamp')], ['m1', '1764482400']);
  assert.equal(request.headers.get('content-type'), 'application/json');
});

test('each attempt makes the same request, so that the host recognises it', async () => {
  const text = async (attempt: number) => {
    const [request] = (await forward(answer(204), { ...message, attempt })).requests;
    return request && JSON.stringify([...request.headers]) + (await request.text());
  };
  assert.equal(await text(2), await text(1));
});

test('bytes that are no text stay what they are', async () => {
  const value = new Uint8Array([0, 255, 128, 10]);
  const { requests } = await forward(answer(200), { ...message, value, headers: { 'content-type': 'application/octet-stream' } });
  assert.deepEqual(new Uint8Array(await (requests[0] as Request).arrayBuffer()), value);
  assert.equal(requests[0]?.headers.get('content-type'), 'application/octet-stream');
});

for (const [status, headers, expected] of [
  [204, {}, 'done'],
  [500, {}, 'retry http-500'],
  [503, { 'retry-after': '7' }, 'retry http-503 after 7000'],
  [429, { 'retry-after': '1' }, 'retry http-429 after 1000'],
  [400, {}, 'reject http-400'],
  [410, { 'retry-after': '1' }, 'reject http-410'],
  [302, { location: 'http://169.254.169.254/' }, 'reject http-302'],
] as const) {
  test(`${status} is ${expected}`, async () => {
    const { outcome, requests } = await forward(answer(status, headers));
    const code = 'code' in outcome ? ` ${outcome.code}` : '';
    const after = 'afterMs' in outcome ? ` after ${outcome.afterMs}` : '';
    assert.equal(outcome.outcome + code + after, expected);
    assert.equal(requests.length, 1, 'a redirect is not followed');
  });
}

test('a server that closes the connection is a retry', async () => {
  const { outcome } = await forward(() => Promise.reject(new TypeError('closed')));
  assert.equal('code' in outcome && outcome.code, 'http-no-response');
});

test('a tombstone is skipped, and without a configuration nothing is sent', async () => {
  assert.equal((await forward(answer(200), { ...message, value: null })).outcome.outcome, 'skipped');
  const host = new TestHost({ config: { url: config.url }, fetch: answer(200) });
  const outcome = await host.handle(plugin, message);
  assert.deepEqual([outcome.outcome, 'code' in outcome && outcome.code, host.requests.length], ['reject', 'missing-config', 0]);
});
