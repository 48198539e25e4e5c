import assert from 'node:assert/strict';
import { test } from 'node:test';
import { config, effects, log, plugin } from 'kafka-host-plugin';
import { check, request, retryAfterMs } from 'kafka-host-plugin/http';
import { send, trySend, type Email, type Refusal } from 'kafka-host-plugin/mail';
import { publish, publishEach, tryPublish } from 'kafka-host-plugin/produce';
import { TestHost, type EffectError, type HostOptions } from 'kafka-host-plugin/testing';

/** The outcome of a handler, and the host that it used. */
async function run(handle: () => unknown, options: HostOptions = {}) {
  const host = new TestHost(options);
  const about = { name: 'p', version: '1.0.0', summary: 's', topic: 't' };
  const outcome = await host.handle(plugin({ ...about, handle: async () => (await handle()) as never }), { value: {} });
  return { outcome, host };
}

const email: Email = { sender: { name: 'Shop', email: 's@x' }, to: ['a@x', 'b@x', 'c@x'], subject: '제목', text: '본문' };
const refusal = (recipient: string, transient: boolean): Refusal => ({ recipient, transient, response: transient ? '450' : '550' });

/** The outcome for these answers, and the recipients of each e-mail. */
async function sent(answers: (Refusal[] | EffectError)[], mail: Email = email) {
  const { outcome, host } = await run(() => send(mail).response, {
    send: () => {
      const answer = answers.shift();
      assert.ok(answer, 'a further e-mail');
      return 'error' in answer ? answer : { response: '250', refused: answer };
    },
  });
  assert.equal(answers.length, 0);
  return { outcome, to: host.emails.map(({ to }) => to.map((address) => address.email)), emails: host.emails };
}

test('an e-mail is passed with all its fields', async () => {
  const { outcome, emails } = await sent([[]]);
  assert.deepEqual(outcome, { outcome: 'done', receipt: '250' });
  const to = ['a@x', 'b@x', 'c@x'].map((address) => ({ name: undefined, email: address }));
  const rest = { cc: [], bcc: [], replyTo: undefined, html: undefined, headers: [], attachments: [] };
  assert.deepEqual(emails, [{ ...rest, sender: { name: 'Shop', email: 's@x' }, to, subject: '제목', text: '본문' }]);
});

for (const [error, detail, expected, code] of [
  ['transient', '451 busy', 'retry', 'smtp-451'],
  ['transient', 'usual (smtp://mail:25) answered 421 4.3.2 closing', 'retry', 'smtp-421'],
  ['transient', 'no connection to usual (smtp://mail:25): refused', 'retry', 'smtp-transient'],
  ['permanent', '550 no such user', 'reject', 'smtp-550'],
  ['permanent', 'usual accepted none of 2 recipients; it answered 550 gone', 'reject', 'smtp-550'],
  ['permanent', 'usual (smtp://mail:25) answered 5500 cats', 'reject', 'smtp-permanent'],
  ['permanent', 'an address is not ASCII', 'reject', 'smtp-permanent'],
  ['denied', 'mail is not granted', 'reject', 'mail-denied'],
] as const) {
  test(`${error}: ${detail}`, async () => {
    const { outcome } = await sent([{ error, detail }]);
    assert.deepEqual(outcome, { outcome: expected, code, detail });
  });
}

test('recipients that were refused for now are sent to alone', async () => {
  const { outcome, to } = await sent([[refusal('b@x', true), refusal('c@x', true)], [refusal('c@x', true)], []]);
  assert.equal(outcome.outcome, 'done');
  assert.deepEqual(to, [['a@x', 'b@x', 'c@x'], ['b@x', 'c@x'], ['c@x']]);
  // The host writes an international domain in ASCII.
  const international = await sent([[refusal('x@xn--bcher-kva.de', true)], []], { ...email, to: ['a@x', 'x@bücher.de'] });
  assert.deepEqual(international.to[1], ['x@xn--bcher-kva.de']);
});

test('a copy stays a copy', async () => {
  const { emails } = await sent([[refusal('d@x', true), refusal('e@x', true)], []], { ...email, to: 'a@x', cc: ['d@x'], bcc: ['e@x'] });
  const addresses = ({ to, cc, bcc }: (typeof emails)[number]) => [to, cc, bcc].map((list) => list.map(({ email }) => email));
  assert.deepEqual(emails.map(addresses), [[['a@x'], ['d@x'], ['e@x']], [[], ['d@x'], ['e@x']]]);
});

test('recipients that were refused for good are in the rejection', async () => {
  assert.deepEqual((await sent([[refusal('b@x', false)]])).outcome, { outcome: 'reject', code: 'smtp-550', detail: 'b@x: 550' });
  const later = await sent([[refusal('b@x', false), refusal('c@x', true)], { error: 'permanent', detail: '550 gone' }]);
  assert.deepEqual(later.outcome, { outcome: 'reject', code: 'smtp-550', detail: 'b@x: 550; 550 gone' });
});

test('a server that accepts nobody further ends the loop', async () => {
  const { outcome } = await sent([[refusal('a@x', true), refusal('b@x', true), refusal('c@x', true)]]);
  assert.equal(outcome.outcome === 'retry' && outcome.code, 'smtp-transient');
});

test('a handler may look at an e-mail itself', async () => {
  const { outcome } = await run(() => JSON.stringify(trySend(email)), { send: () => ({ error: 'denied', detail: 'no' }) });
  assert.deepEqual(outcome, { outcome: 'done', receipt: '{"error":"denied","detail":"no"}' });
});

test('a record is published with key, value and headers', async () => {
  const record = { topic: 'out', key: 'k', value: JSON.stringify({ a: '한' }), headers: { h: 'v', n: null } };
  const { outcome, host } = await run(() => JSON.stringify(publish(record)));
  assert.deepEqual(outcome, { outcome: 'done', receipt: '{"partition":0,"offset":0}' });
  assert.deepEqual(host.records, [{ topic: 'out', key: 'k', value: '{"a":"한"}', headers: { h: 'v', n: null } }]);
});

for (const [error, expected] of [
  ['transient', 'retry'],
  ['permanent', 'reject'],
  ['denied', 'reject'],
] as const) {
  test(`a record that fails as ${error} is a ${expected}`, async () => {
    const publishing: HostOptions = { publish: ({ topic }) => (topic === 'bad' ? { error, detail: 'why' } : undefined) };
    const one = await run(() => publish({ topic: 'bad', value: null }), publishing);
    assert.deepEqual(one.outcome, { outcome: expected, code: `produce-${error}`, detail: 'why' });
    const two = [{ topic: 'good', value: 'x' }, { topic: 'bad', value: 'y' }];
    const several = await run(() => publishEach(two), publishing);
    assert.equal(several.outcome.outcome, expected);
    const looked = await run(() => JSON.stringify(tryPublish(two)), publishing);
    assert.deepEqual(looked.outcome, {
      outcome: 'done',
      receipt: `[{"ok":{"partition":0,"offset":0}},{"error":"${error}","detail":"why"}]`,
    });
  });
}

test('configuration, log and effects reach the host', async () => {
  const { outcome, host } = await run(
    () => {
      log('warn', 'low', { left: 3 });
      effects.keep();
      return `${config.require('url')} ${config.get('none')}`;
    },
    { config: { url: 'u' } },
  );
  assert.deepEqual(outcome, { outcome: 'done', receipt: 'u undefined' });
  assert.deepEqual([host.log, host.kept], [[{ level: 'warn', text: 'low', fields: { left: '3' } }], 1]);
  const missing = await run(() => config.require('toString'));
  assert.equal(missing.outcome.outcome === 'reject' && missing.outcome.code, 'missing-config');
});

test('the status of a response is an outcome', async () => {
  const status = async (code: number, headers: Record<string, string> = {}) => {
    const { outcome } = await run(() => request('https://x/a?secret').then(() => 'ok'), {
      fetch: () => new Response(code === 204 ? null : 'body', { status: code, headers }),
    });
    return outcome;
  };
  assert.deepEqual(await status(204), { outcome: 'done', receipt: 'ok' });
  assert.deepEqual(await status(503), { outcome: 'retry', code: 'http-503', detail: 'https://x/a answered 503: body' });
  assert.deepEqual(await status(429, { 'retry-after': '3' }), {
    ...{ outcome: 'retry', code: 'http-429', detail: 'https://x/a answered 429: body', afterMs: 3000 },
  });
  assert.deepEqual(await status(404), { outcome: 'reject', code: 'http-404', detail: 'https://x/a answered 404: body' });
  assert.deepEqual(await status(302, { location: 'https://y' }), { outcome: 'reject', code: 'http-302', detail: 'https://x/a answered 302: body' });
});

test('no response is a retry', async () => {
  const { outcome } = await run(() => request('https://x/a'), { fetch: () => Promise.reject(new TypeError('closed')) });
  assert.deepEqual(outcome, { outcome: 'retry', code: 'http-no-response', detail: 'https://x/a: no response: closed' });
  const secret = await run(() => request('https://u:p@x/a?b'));
  const detail = 'detail' in secret.outcome ? secret.outcome.detail : '';
  assert.match(detail, /^https:\/\/x\/a: no response: (?!.*u:p)/);
  await check(new Response(null, { status: 200 }), 'https://x');
});

test('Retry-After is a number of seconds or a date', () => {
  const now = Date.parse('Mon, 30 Nov 2026 06:00:00 GMT');
  assert.equal(retryAfterMs(' 120 ', now), 120_000);
  assert.equal(retryAfterMs('Mon, 30 Nov 2026 06:01:40 GMT', now), 100_000);
  assert.equal(retryAfterMs('Mon, 30 Nov 2026 05:00:00 GMT', now), 0);
  for (const text of [null, '', 'soon', '-5', '1.5x']) assert.equal(retryAfterMs(text, now), undefined, String(text));
});
