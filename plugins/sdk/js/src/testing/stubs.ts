/** The imports of the contract, for unit tests. `register.ts` puts this module in their place. */
import type { WitEmail, WitNewRecord } from '../contract.js';
import { current, type Imports } from './state.js';

export const get = (key: string) => current().get(key);
export const write: Imports['write'] = (level, text, fields) => current().write(level, text, fields);
export const keep = () => current().keep();
export const send = (emails: WitEmail[]) => current().send(emails);
export const publish = (records: WitNewRecord[]) => current().publish(records);
