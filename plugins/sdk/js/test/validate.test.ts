import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'kafka-host-plugin/validate';

const order = v.object({
  id: v.string,
  state: v.oneOf('new', 'paid'),
  note: v.optional(v.string),
  items: v.array(v.object({ price: v.number, count: v.integer })),
  labels: v.optional(v.record(v.string)),
});

const valid = { id: '1', state: 'new', items: [{ price: 1.5, count: 2 }] };

test('a valid value has the fields of the shape and no others', () => {
  const typed: v.Infer<typeof order> = order({ ...valid, more: true });
  assert.deepEqual(typed, valid);
  const note: string | undefined = typed.note;
  assert.equal(note, undefined);
  assert.deepEqual(order({ ...valid, note: null, labels: { a: 'b' } }), { ...valid, labels: { a: 'b' } });
});

for (const [value, message] of [
  [undefined, 'the value: expected an object, found nothing'],
  [null, 'the value: expected an object, found null'],
  [{ ...valid, id: 7 }, 'id: expected a string, found a number'],
  [{ ...valid, state: 'old' }, 'state: expected one of "new", "paid", found a string'],
  [{ ...valid, note: [] }, 'note: expected a string, found an array'],
  [{ ...valid, items: {} }, 'items: expected an array, found an object'],
  [{ ...valid, items: [valid.items[0], { price: 'x', count: 1 }] }, 'items[1].price: expected a number, found a string'],
  [{ ...valid, items: [{ price: 1, count: 1.5 }] }, 'items[0].count: expected an integer, found a number'],
  [{ ...valid, labels: { a: 1 } }, 'labels.a: expected a string, found a number'],
] as const) {
  test(message, () => {
    assert.throws(() => order(value), { name: 'InvalidValue', message });
  });
}

test('names of the prototype are no fields', () => {
  assert.throws(() => v.object({ toString: v.unknown, constructor: v.string })({}), /constructor: expected a string, found nothing/);
  const polluted = v.record(v.unknown)(JSON.parse('{"__proto__": {"admin": true}}'));
  assert.equal(({} as { admin?: boolean }).admin, undefined);
  assert.equal((polluted as { admin?: boolean }).admin, undefined);
});
