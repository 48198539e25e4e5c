/**
 * For `node --import kafka-host-plugin/register --test test/*.test.ts`: loads TypeScript, and puts stubs in the place of
 * the contract's imports.
 */
import { register } from 'node:module';

register('./hooks.js', import.meta.url);
