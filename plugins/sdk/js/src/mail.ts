import { send as sendAll } from 'kafka-host:plugin/mail@0.2.0';
import type { WitAddress, WitEffectError, WitReceipt, WitResult } from './contract.js';
import { Reject, Retry } from './outcome.js';

/** An address, with a display name or without. */
export type Address = string | { name?: string | undefined; email: string };

export interface Attachment {
  filename: string;
  contentType: string;
  content: Uint8Array;
}

export interface Email {
  sender: Address;
  to: Address | Address[];
  cc?: Address[];
  bcc?: Address[];
  replyTo?: Address | undefined;
  subject: string;
  text?: string | undefined;
  html?: string | undefined;
  headers?: [string, string][];
  attachments?: Attachment[];
}

/** A recipient that the server refused. */
export interface Refusal {
  recipient: string;
  /** Whether the refusal is temporary. */
  transient: boolean;
  /** The server's response. */
  response: string;
}

/** The server accepted the e-mail for at least one recipient. */
export interface Receipt {
  id: string;
  /** The server's response. */
  response: string;
  /** The recipients that it refused. To retry, send an e-mail to these alone. */
  refused: Refusal[];
}

/** The result of one request, for a handler that looks itself. */
export type SendResult = { ok: Receipt } | { error: 'transient' | 'permanent' | 'denied'; detail: string };

/** Sends one e-mail with one request to the host, and throws nothing. */
export function trySend(email: Email): SendResult {
  return request(complete(email));
}

/**
 * Sends an e-mail to all recipients, and again to those that the server refused for now while it accepted others.
 *
 * Throws {@link Retry}: `smtp-4xx` by the server's reply, or `smtp-transient`. Throws {@link Reject}: `smtp-5xx`,
 * `smtp-permanent` or `mail-denied`. A retry repeats these calls: the host answers those that succeeded from its ledger.
 */
export function send(email: Email): Receipt {
  let left = complete(email);
  const refused: string[] = [];
  let code = '';
  for (;;) {
    const result = request(left);
    if ('error' in result) {
      if (result.error === 'permanent' && refused.length) throw new Reject(code, [...refused, result.detail].join('; '));
      throw failure(result);
    }
    const { ok: receipt } = result;
    for (const refusal of receipt.refused.filter((refusal) => !refusal.transient)) {
      if (!refused.length) code = permanentCode(refusal.response);
      refused.push(`${refusal.recipient}: ${refusal.response}`);
    }
    const again = receipt.refused.filter((refusal) => refusal.transient).map((refusal) => refusal.recipient);
    if (!again.length) {
      if (refused.length) throw new Reject(code, refused.join('; '));
      return receipt;
    }
    // At least one recipient was accepted, so that this ends.
    if (again.length >= count(left)) throw new Retry('smtp-transient', 'the server accepted no further recipient');
    left = { ...left, ...recipients(left, again) };
  }
}

type Complete = ReturnType<typeof complete>;

function complete(email: Email) {
  return {
    sender: address(email.sender),
    to: (Array.isArray(email.to) ? email.to : [email.to]).map(address),
    cc: (email.cc ?? []).map(address),
    bcc: (email.bcc ?? []).map(address),
    replyTo: email.replyTo === undefined ? undefined : address(email.replyTo),
    subject: email.subject,
    text: email.text,
    html: email.html,
    headers: email.headers ?? [],
    attachments: email.attachments ?? [],
  };
}

function address(given: Address): WitAddress {
  return typeof given === 'string' ? { name: undefined, email: given } : { name: given.name, email: given.email };
}

function request(email: Complete): SendResult {
  const result: WitResult<WitReceipt, WitEffectError> | undefined = sendAll([email])[0];
  if (!result) return { error: 'transient', detail: 'the host returned no result for the e-mail' };
  return result.tag === 'ok' ? { ok: result.val } : { error: result.val.tag, detail: result.val.val };
}

function count({ to, cc, bcc }: Complete): number {
  return to.length + cc.length + bcc.length;
}

/** The recipients that were refused. The host writes an international domain in ASCII; such a one is a plain `to`. */
function recipients({ to, cc, bcc }: Complete, again: string[]): Pick<Complete, 'to' | 'cc' | 'bcc'> {
  const left = (list: WitAddress[]) => list.filter(({ email }) => again.includes(email));
  const known = new Set([...to, ...cc, ...bcc].map(({ email }) => email));
  const others = again.filter((email) => !known.has(email)).map(address);
  return { to: [...left(to), ...others], cc: left(cc), bcc: left(bcc) };
}

function failure({ error, detail }: { error: WitEffectError['tag']; detail: string }): Retry | Reject {
  switch (error) {
    case 'transient': {
      const reply = replyCode(detail);
      return new Retry(reply?.startsWith('4') ? `smtp-${reply}` : 'smtp-transient', detail);
    }
    case 'permanent':
      return new Reject(permanentCode(detail), detail);
    case 'denied':
      return new Reject('mail-denied', detail);
  }
}

function permanentCode(detail: string): string {
  const reply = replyCode(detail);
  return reply?.startsWith('5') ? `smtp-${reply}` : 'smtp-permanent';
}

/** The code of the server's reply in a detail: `… answered 550 no such user`, or the reply alone. */
function replyCode(detail: string): string | undefined {
  const at = detail.indexOf(' answered ');
  const reply = at < 0 ? detail : detail.slice(at + ' answered '.length);
  // Not `\p{L}`: StarlingMonkey has no tables of Unicode.
  return /^(\d{3})(?=$|[\s\-.,;:)])/.exec(reply)?.[1];
}
