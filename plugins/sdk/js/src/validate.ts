/**
 * Validators of JSON: `validate: object({ from: string, amount: optional(number) })`. An error names the field:
 * `items[2].price: expected a number, found a string`.
 */

/** Returns the value with its type, or throws {@link InvalidValue}. `at` is the field, for the error. */
export type Validator<T> = (value: unknown, at?: string) => T;

/** The type of what a validator returns. */
export type Infer<V> = V extends Validator<infer T> ? T : never;

/** A value that a validator refuses. */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
}

function invalid(value: unknown, at: string | undefined, expected: string): never {
  throw new InvalidValue(`${at || 'the value'}: expected ${expected}, found ${found(value)}`);
}

/** The kind of a value, without its content, which may be private. */
function found(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function primitive<T>(name: string): Validator<T> {
  return (value, at) => (typeof value === name ? (value as T) : invalid(value, at, `a ${name}`));
}

export const string: Validator<string> = primitive('string');
export const boolean: Validator<boolean> = primitive('boolean');
export const number: Validator<number> = primitive('number');
export const unknown: Validator<unknown> = (value) => value;

/** A whole number that is exact in JavaScript. */
export const integer: Validator<number> = (value, at) =>
  Number.isSafeInteger(value) ? (value as number) : invalid(value, at, 'an integer');

/** One of these texts or numbers. */
export function oneOf<const T extends string | number>(...values: T[]): Validator<T> {
  const expected = `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`;
  return (value, at) => (values.includes(value as T) ? (value as T) : invalid(value, at, expected));
}

const IS_OPTIONAL = Symbol('optional');
interface OptionalValidator<T> extends Validator<T | undefined> {
  readonly [IS_OPTIONAL]: true;
}

/** A field that may be missing or null, which is undefined then. */
export function optional<T>(validator: Validator<T>): OptionalValidator<T> {
  const check: Validator<T | undefined> = (value, at) => (value == null ? undefined : validator(value, at));
  return Object.assign(check, { [IS_OPTIONAL]: true as const });
}

export function array<T>(item: Validator<T>): Validator<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return invalid(value, at, 'an array');
    return value.map((element, index) => item(element, `${at ?? ''}[${index}]`));
  };
}

/** Any names, with values of one type. */
export function record<T>(item: Validator<T>): Validator<Record<string, T>> {
  return (value, at) => {
    const entries = Object.entries(fields(value, at));
    return Object.fromEntries(entries.map(([name, field]) => [name, item(field, path(at, name))]));
  };
}

type Optional<S> = { [K in keyof S]: S[K] extends OptionalValidator<unknown> ? K : never }[keyof S];
type Fields<S> = { [K in Exclude<keyof S, Optional<S>>]: Infer<S[K]> } & { [K in Optional<S>]?: Infer<S[K]> };

/** An object with these fields. Others are left out. */
export function object<S extends Record<string, Validator<unknown>>>(shape: S): Validator<Fields<S>> {
  const validators = Object.entries(shape);
  return (value, at) => {
    const given = fields(value, at);
    const result: Record<string, unknown> = {};
    for (const [name, validator] of validators) {
      // Not what the prototype has: a field may be called `toString`.
      const field = Object.hasOwn(given, name) ? given[name] : undefined;
      const valid = validator(field, path(at, name));
      if (valid !== undefined) result[name] = valid;
    }
    return result as Fields<S>;
  };
}

function fields(value: unknown, at: string | undefined): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return invalid(value, at, 'an object');
  return value as Record<string, unknown>;
}

function path(at: string | undefined, name: string): string {
  return at ? `${at}.${name}` : name;
}
