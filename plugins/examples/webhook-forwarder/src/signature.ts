import { encodeUtf8 } from 'kafka-host-plugin';

/** The headers of Standard Webhooks (https://www.standardwebhooks.com). */
export interface Signed {
  'webhook-id': string;
  /** Seconds since the Unix epoch. */
  'webhook-timestamp': string;
  /** `v1,` and the HMAC-SHA256 of id, timestamp and body, in base64. */
  'webhook-signature': string;
}

/**
 * Signs a message. The timestamp is that of the message, not of the attempt: the host recognises a request by its
 * content, and a request with another timestamp would be another one.
 */
export async function sign(secret: string, id: string, timestampMs: number, body: Uint8Array): Promise<Signed> {
  const timestamp = String(Math.floor(timestampMs / 1000));
  const head = encodeUtf8(`${id}.${timestamp}.`);
  const content = new Uint8Array(head.length + body.length);
  content.set(head);
  content.set(body, head.length);
  const hmac = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', encodeUtf8(secret) as BufferSource, hmac, false, ['sign']);
  const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, content));
  const base64 = btoa(String.fromCharCode(...signature));
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${base64}` };
}
