import { engine } from './engine/current.js';
import { settle } from './engine/jobs.js';
import { mapped } from './source-map.js';

/**
 * How an exception ends a call. The engines print what is thrown from an export, and trap: the host reads from what is
 * printed the class, the message and the stack. StarlingMonkey prints the message without the class, and QuickJS also
 * the frames of the bundle. So what is thrown here is a value that each of them prints as wanted, exactly once.
 */

/** The maximum length of a message, in characters: the host cuts a line at 8 KiB. */
const MAX_MESSAGE = 2000;
/** The maximum number of frames of a stack. */
const MAX_FRAMES = 20;
/** The maximum number of causes. */
const MAX_CAUSES = 3;

/** Runs an export, whose exceptions end the call. */
export function ended<T extends object>(run: () => T | Promise<T>): T | Promise<T> {
  let result: T | Promise<T>;
  try {
    result = run();
  } catch (error) {
    return raise(error);
  }
  return 'then' in result ? settle(result, raise) : result;
}

function raise(error: unknown): never {
  if (engine === 'node') throw error;
  const [first, ...causes] = chain(error);
  const { text, frames } = first as Described;
  const stack = [...frames.map(frame), ...causes.flatMap(caused)];
  if (engine === 'quickjs') {
    const thrown = new Error(text);
    Object.defineProperty(thrown, 'stack', { value: stack.join('\n') });
    throw thrown;
  }
  // What StarlingMonkey prints of an object that is no Error is what its `toSource` returns. It has no prototype, for it
  // would print a `cause` of that, too.
  const printed = stack.length ? `${text}\nStack:\n${stack.join('\n')}` : text;
  throw Object.assign(Object.create(null), { toSource: () => printed });
}

function caused({ text, frames }: Described): string[] {
  const lines = frames.map(frame);
  return engine === 'quickjs' || !lines.length ? [`Caused by: ${text}`, ...lines] : [`Caused by: ${text}`, 'Stack:', ...lines];
}

interface Described {
  /** Class and message, in one line. */
  text: string;
  frames: Frame[];
}

/** An exception and its causes. */
function chain(error: unknown): Described[] {
  const all: Described[] = [];
  const seen = new Set<unknown>();
  for (let next = error; all.length <= MAX_CAUSES && !seen.has(next); ) {
    seen.add(next);
    all.push({ text: oneLine(describe(next)), frames: framesOf(next) });
    const cause = read(next, 'cause');
    if (cause === undefined || cause === null) break;
    next = cause;
  }
  return all;
}

/** `TypeError: bad thing: x`; of what is no Error, the value. Nothing of it is trusted: getters may throw. */
function describe(error: unknown): string {
  if (typeof error !== 'object' || error === null) return shown(error);
  if (!isError(error)) return `thrown: ${json(error)}`;
  const name = classOf(error);
  const message = read(error, 'message');
  return message === undefined || message === '' ? name : `${name}: ${shown(message)}`;
}

function isError(error: object): boolean {
  try {
    return error instanceof Error;
  } catch {
    return false;
  }
}

/** The name of an error, or of its class where the name was not set. */
function classOf(error: object): string {
  const name = read(error, 'name');
  const constructor = read(read(error, 'constructor'), 'name');
  const is = (value: unknown): value is string => typeof value === 'string' && value !== '';
  if (is(name) && (name !== 'Error' || !is(constructor))) return name;
  // A bundler renames classes that it would confuse: `_MyError`, `MyError2`.
  return is(constructor) ? constructor : 'Error';
}

function shown(value: unknown): string {
  try {
    return String(value);
  } catch {
    return `${typeof value} that cannot be shown`;
  }
}

function json(value: object): string {
  try {
    return JSON.stringify(value) ?? shown(value);
  } catch {
    return shown(value);
  }
}

function read(value: unknown, name: string): unknown {
  try {
    return value === undefined || value === null ? undefined : (value as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

function oneLine(text: string): string {
  const cut = text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE)}…` : text;
  return cut.replace(/\s*[\r\n]+\s*/g, ' | ');
}

/** A frame of a stack, at its place in the source. */
export interface Frame {
  name: string;
  /** `src/handler.ts:45:9` */
  place: string;
}

function frame({ name, place }: Frame): string {
  return engine === 'quickjs' ? `    at ${name || '<anonymous>'} (${place})` : `  ${name}@${place}`;
}

/** The plugin's own frames, without those of the SDK and the engine. */
function framesOf(error: unknown): Frame[] {
  const stack = read(error, 'stack');
  if (typeof stack !== 'string') return [];
  const frames: Frame[] = [];
  for (const line of stack.slice(0, 64 * 1024).split('\n')) {
    const found = mapped(parsed(line));
    if (found) frames.push(found);
    if (frames.length === MAX_FRAMES) break;
  }
  return frames;
}

/** A frame in the bundle. */
export interface BundleFrame {
  name: string;
  file: string;
  line: number;
  column: number;
}

/** A line of a stack: `name@file:1:2` in StarlingMonkey, `    at name (file:1:2)` in QuickJS. */
export function parsed(line: string): BundleFrame | undefined {
  const match = /^\s*at (.*?) ?\(?([^()\s]+):(\d+):(\d+)\)?$/.exec(line) ?? /^\s*(.*)@(.*?):(\d+):(\d+)$/.exec(line);
  if (!match) return undefined;
  const [, name = '', file = '', row, column] = match;
  return { name: name === '<anonymous>' ? '' : name, file, line: Number(row), column: Number(column) };
}
