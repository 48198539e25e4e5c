import { config, plugin, skipped, type Message } from 'kafka-host-plugin';
import { request } from 'kafka-host-plugin/http';
import { sign } from './signature.ts';

/**
 * POSTs each message to the URL of the configuration, byte for byte.
 *
 * 2xx is done; 5xx, 429 and no response are retried, after the server's `Retry-After` if there is one; all other
 * responses, redirects included, make a dead letter.
 */
async function forward(message: Message) {
  if (message.value === null) return skipped('the message has no value');
  const url = config.require('url');
  const signed = await sign(config.require('secret'), message.id, message.timestampMs, message.value);
  const type = message.header('content-type') ?? config.get('content-type') ?? 'application/json';
  const headers = { 'content-type': type, ...signed };
  const response = await request(url, { method: 'POST', headers, body: message.value as BodyInit, redirect: 'manual' });
  console.debug('forwarded', message.id, response.status);
  return `${response.status}`;
}

export default plugin({
  name: 'webhook-forwarder',
  version: '0.2.0',
  summary: 'POSTs each message to a URL, with a signature',
  topic: 'webhooks',
  handleMessage: forward,
});
