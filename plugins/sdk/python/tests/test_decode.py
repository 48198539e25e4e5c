"""Values from JSON."""

import dataclasses
import enum
import json
import unittest
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union

from kafka_host_plugin import Invalid, decode, to_json


class Currency(enum.Enum):
    EURO = "EUR"
    WON = "KRW"


class Level(enum.IntEnum):
    LOW = 1


Sku = NewType("Sku", str)


@dataclass(frozen=True)
class Item:
    sku: Sku
    price: Decimal
    quantity: int = 1

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError("quantity must be at least 1")


@dataclass
class Customer:
    email: str
    name: str | None = None


@dataclass(kw_only=True)
class Order:
    number: str
    customer: Customer
    items: list[Item]
    currency: Currency = Currency.EURO
    kind: Literal["new", "changed", 3] = "new"
    ordered: datetime | None = None
    due: Optional[date] = None
    weight: float = 0.0
    sender: Annotated[str, "ours"] = field(default="", metadata={"json": "from"})
    labels: dict[str, int] = field(default_factory=dict)
    place: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    more: Any = None
    level: Level | None = None


@dataclass
class Tree:
    children: list["Tree"]


@dataclass
class Circle:
    kind: Literal["circle"]
    radius: float


@dataclass
class Square:
    kind: Literal["square"]
    side: float


@dataclass
class Drawing:
    shapes: list[Circle | Square]


ORDER: dict[str, Any] = {"number": "1", "customer": {"email": "a@example.com"}, "items": []}
ITEM: dict[str, Any] = {"sku": "a", "price": "1.10"}


def problem(expected: object, value: object) -> str:
    try:
        decoded = decode(expected, value if isinstance(value, bytes) else json.dumps(value).encode())
    except Invalid as invalid:
        return str(invalid)
    raise AssertionError(f"decoded as {decoded!r}")


class Decoding(unittest.TestCase):
    def test_defaults_apply_to_what_is_not_there(self) -> None:
        order = decode(Order, json.dumps({**ORDER, "unknown": 1}).encode())
        self.assertEqual(order, Order(number="1", customer=Customer("a@example.com"), items=[]))

    def test_all_types_are_decoded(self) -> None:
        order = decode(
            Order,
            json.dumps(
                {
                    **ORDER,
                    "customer": {"email": "a@example.com", "name": "Kim"},
                    "items": [{**ITEM, "quantity": 2}, {"sku": "b", "price": 0.1}],
                    "currency": "KRW",
                    "kind": 3,
                    "ordered": "2026-11-30T05:00:00Z",
                    "due": "2026-12-01",
                    "weight": 2,
                    "from": "shop",
                    "labels": {"a b": 1},
                    "place": [1, 2.5],
                    "notes": ["x"],
                    "more": {"any": [None]},
                    "level": 1,
                }
            ).encode(),
        )
        self.assertEqual(order.items, [Item(Sku("a"), Decimal("1.10"), 2), Item(Sku("b"), Decimal("0.1"))])
        self.assertEqual((order.currency, order.kind, order.level), (Currency.WON, 3, Level.LOW))
        self.assertEqual(order.ordered, datetime(2026, 11, 30, 5, tzinfo=timezone.utc))
        self.assertEqual((order.due, order.sender, order.customer.name), (date(2026, 12, 1), "shop", "Kim"))
        self.assertEqual((order.place, order.notes, order.more), ((1.0, 2.5), ("x",), {"any": [None]}))
        self.assertIs(type(order.weight), float)
        # And back.
        self.assertEqual(decode(Order, to_json(order)), order)

    def test_errors_name_the_path(self) -> None:
        def order(**values: object) -> str:
            return problem(Order, {**ORDER, **values})

        for found, expected in [
            (problem(Order, []), "expected an object, found a list"),
            (problem(Order, {}), "number: is missing"),
            (order(customer={}), "customer.email: is missing"),
            (order(customer=None), "customer: expected an object, found null"),
            (order(number=1), "number: expected a text, found an integer"),
            (order(items=[ITEM, {**ITEM, "quantity": "2"}]), "items[1].quantity: expected an integer, found a text"),
            (order(items=[{**ITEM, "quantity": True}]), "items[0].quantity: expected an integer, found true"),
            (order(items=[{**ITEM, "quantity": 2.0}]), "items[0].quantity: expected an integer, found a number"),
            (order(items=[{**ITEM, "quantity": 0}]), "items[0]: quantity must be at least 1"),
            (order(items=[{**ITEM, "price": "1,10"}]), "items[0].price: expected a decimal number, found another text"),
            (order(items=[{**ITEM, "price": None}]), "items[0].price: expected a decimal number, found null"),
            (order(currency="USD"), 'currency: expected one of "EUR", "KRW"'),
            (order(currency=[]), 'currency: expected one of "EUR", "KRW"'),
            (order(level=True), "level: expected 1"),
            (order(kind=3.0), 'kind: expected one of "new", "changed", 3'),
            (order(ordered="yesterday"), "ordered: expected a date and time (ISO 8601), found another text"),
            (order(due=5), "due: expected a date (YYYY-MM-DD), found an integer"),
            (order(weight="1"), "weight: expected a number, found a text"),
            (order(weight=10**400), "weight: expected a number, found one that is too large"),
            (order(**{"from": {}}), "from: expected a text, found an object"),
            (order(labels={"a b\n": "x"}), 'labels["a b\\n"]: expected an integer, found a text'),
            (order(labels={"k" * 100: None}), f'labels["{"k" * 64}"]: expected an integer, found null'),
            (order(place=[1]), "place: expected 2 items, found 1"),
            (order(place=[1, "2"]), "place[1]: expected a number, found a text"),
            (
                problem(Drawing, {"shapes": [{"kind": "square"}]}),
                'shapes[0]: as Circle, kind: expected "circle"; as Square, side: is missing',
            ),
        ]:
            self.assertEqual(found, expected)

    def test_what_is_no_json_is_invalid(self) -> None:
        for value, expected in [
            (b"", "is not JSON: Expecting value at line 1, column 1"),
            (b"{", "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
            (b"[1] 2", "is not JSON: Extra data at line 1, column 5"),
            (b"NaN", "is not JSON: NaN is no number of JSON"),
            (b"[-Infinity]", "is not JSON: -Infinity is no number of JSON"),
            (b'"\xff"', "is not UTF-8: invalid start byte at byte 1"),
            (b'[1, {"a": "\\ud800"}]', "[1].a: has half of a surrogate pair"),
            (b'{"\\udc00": 1}', "has half of a surrogate pair"),
            (b"[" * 1_000_000, "is nested too deeply"),
            (b"[" * 257 + b"]" * 257, "is nested too deeply"),
            (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "is nested too deeply"),
        ]:
            self.assertEqual(problem(Any, value), expected)
        self.assertIn("is not JSON: Exceeds the limit", problem(Any, b"1" * 5000))
        self.assertEqual(decode(str, b'"\\ud83d\\udc4b"'), "\N{WAVING HAND SIGN}")

    def test_what_is_long_but_not_deep_is_valid(self) -> None:
        for value in [
            b"[" * 256 + b"]" * 256,
            b"[" + b",".join([b'{"a": [1, {"b": {}}], "c": "]}\\"[["}'] * 1_000) + b"]",
            b'["' + b"[{" * 1_000 + b'"]',
        ]:
            self.assertEqual(decode(Any, value), json.loads(value))

    def test_a_type_may_contain_itself(self) -> None:
        self.assertEqual(decode(Tree, b'{"children": [{"children": []}]}'), Tree([Tree([])]))
        found = problem(Tree, {"children": [{"children": [{}]}]})
        self.assertEqual(found, "children[0].children[0].children: is missing")

    def test_types_without_a_form_in_json_are_refused_when_they_are_declared(self) -> None:
        wrong = dataclasses.make_dataclass("wrong", [("tags", list[set[str]])])
        for expected, text in [
            (wrong, "wrong.tags[]: set[str] has no form in JSON"),
            (bytes, "bytes: bytes has no form in JSON"),
            (dict[int, str], "dict: dict[int, str] has no form in JSON"),
            (Union[str, complex], "complex has no form in JSON"),
        ]:
            with self.assertRaises(TypeError) as raised:
                decode(expected, b"{}")
            self.assertIn(text, str(raised.exception))

    def test_json_of_values_that_have_no_form(self) -> None:
        json_text = to_json({"a": "é\ud800", "when": date(2026, 1, 2)}).decode()
        self.assertEqual(json_text, '{"a":"é?","when":"2026-01-02"}')
        self.assertRaises(TypeError, to_json, {"a": {1}})
        self.assertRaises(ValueError, to_json, float("nan"))


if __name__ == "__main__":
    unittest.main()
