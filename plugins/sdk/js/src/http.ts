import { Reject, Retry } from './outcome.js';

/** HTTP by `fetch`, which only StarlingMonkey has. */

/** The length of a response's body in a detail, in characters. */
const MAX_BODY = 200;

/**
 * `fetch`, whose failures are outcomes: no response is a {@link Retry} `http-no-response`; see {@link check} for the
 * others.
 */
export async function request(url: string, init?: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    throw new Retry('http-no-response', `${place(url)}: no response: ${messageOf(error, url)}`, undefined, { cause: error });
  }
  await check(response, url);
  return response;
}

/**
 * Returns for a status of 2xx. Throws {@link Retry} for 408, 425, 429 and 5xx, with the server's `Retry-After`, and
 * {@link Reject} for all others: `http-503`, `http-404`. A redirect is not followed.
 */
export async function check(response: Response, url: string): Promise<void> {
  const { status } = response;
  if (status >= 200 && status < 300) return;
  const body = await response.text().catch(() => '');
  const detail = `${place(url)} answered ${status}${body ? `: ${body.slice(0, MAX_BODY)}` : ''}`;
  if (status >= 500 || [408, 425, 429].includes(status)) {
    throw new Retry(`http-${status}`, detail, retryAfterMs(response.headers.get('retry-after')));
  }
  throw new Reject(`http-${status}`, detail);
}

/** The delay of `Retry-After`: a number of seconds, or a date (RFC 9110, section 10.2.3). */
export function retryAfterMs(value: string | null, now = Date.now()): number | undefined {
  if (value === null) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  // `Date.parse` reads all sorts of texts.
  const date = /GMT\s*$/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** A URL without its query, which may have secrets. */
function place(url: string): string {
  return url.replace(/[?#].*$/, '').replace(/\/\/[^/]*@/, '//');
}

function messageOf(error: unknown, url: string): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(url, place(url));
}
