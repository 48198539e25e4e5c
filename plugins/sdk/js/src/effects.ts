import { keep as kept } from 'kafka-host:plugin/effects@0.2.0';

/**
 * Keeps the HTTP requests of this call that have a 2xx response by now: they are done, whatever the outcome, and the
 * next delivery of the message does not make them again. For a plugin that makes several requests, after each one that
 * had its effect.
 */
export function keep(): void {
  kept();
}
