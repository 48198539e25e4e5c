"""Values from JSON, in the types that a handler asks for.

A type is compiled to a function once, when the plugin is built. The path of an error is put together only when there is
one.
"""

import dataclasses
import datetime
import enum
import json
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, NoReturn

Decoder = Callable[[Any], Any]

#: The maximum length of a key in the path of an error.
_MAX_KEY = 64
#: The maximum depth of lists and objects. The stack of a component ends before CPython's own bound.
_MAX_DEPTH = 256
#: Texts, and everything else that is no bracket.
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\[\]{}"]+|"', re.DOTALL)


class Invalid(ValueError):
    """A value that is not of the type that was asked for."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path: list[str | int] = []

    def within(self, place: str | int) -> "Invalid":
        """The same problem, seen from the value that contains it."""
        self.path.append(place)
        return self

    def __str__(self) -> str:
        path = ""
        for place in reversed(self.path):
            if isinstance(place, int):
                path += f"[{place}]"
            elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", place):
                path += f".{place}" if path else place
            else:
                path += f"[{json.dumps(place[:_MAX_KEY])}]"
        return f"{path}: {self.problem}" if path else self.problem


def parse(value: bytes) -> Any:
    """The value of a JSON text. Raises `Invalid`."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"is not UTF-8: {error.reason} at byte {error.start}") from None
    if _is_deep(text):
        raise Invalid("is nested too deeply")
    try:
        parsed = _JSON.decode(text)
    except json.JSONDecodeError as error:
        raise Invalid(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise Invalid(f"is not JSON: {error}") from None
    # An escape may be half of a surrogate pair, which is no text: it could not leave the component.
    if "\\u" in text or "\\U" in text:
        _check_surrogates(parsed)
    return parsed


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return False
    brackets = _NO_BRACKETS.sub("", text).replace("{", "[").replace("}", "]")
    for _ in range(_MAX_DEPTH):
        outer = brackets.replace("[]", "")
        if len(outer) == len(brackets):
            break
        brackets = outer
    # The rest is deeper, or is never closed.
    return brackets.count("[") > (0 if "[]" in brackets else _MAX_DEPTH)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _check_surrogates(value: object) -> None:
    try:
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, list):
            for index, item in enumerate(value):
                _within(_check_surrogates, item, index)
        elif isinstance(value, dict):
            for key, item in value.items():
                key.encode()
                _within(_check_surrogates, item, key)
    except UnicodeEncodeError:
        raise Invalid("has half of a surrogate pair") from None


def _within(decode: Decoder, value: object, place: str | int) -> Any:
    try:
        return decode(value)
    except Invalid as invalid:
        raise invalid.within(place) from None


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    type(None): "null",
}


def _expected(name: str, value: object) -> Invalid:
    found = f"{value!r}".lower() if isinstance(value, bool) else _NAMES.get(type(value), type(value).__name__)
    return Invalid(f"expected {name}, found {found}")


def _plain(expected: type) -> Decoder:
    name = _NAMES[expected]

    def decode(value: Any) -> Any:
        # Not isinstance: True is an int, too.
        if type(value) is not expected:
            raise _expected(name, value)
        return value

    return decode


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _expected("a number", value)
    try:
        return float(value)
    except OverflowError:
        raise Invalid("expected a number, found one that is too large") from None


def _any(value: Any) -> Any:
    return value


def _date(expected: type[datetime.date], name: str) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not str:
            raise _expected(name, value)
        try:
            return expected.fromisoformat(value)
        except ValueError:
            raise Invalid(f"expected {name}, found another text") from None

    return decode


def _decimal(expected: type) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) not in (str, int, float):
            raise _expected("a decimal number", value)
        # The shortest text of a float is that of the message, for up to 15 digits.
        text = value if type(value) is str else repr(value)
        if re.fullmatch(r"-?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,4})?", text) is None:
            raise Invalid("expected a decimal number, found another text")
        return expected(text)

    return decode


def _one_of(values: list[Any], results: list[Any]) -> Decoder:
    # 1, 1.0 and True are equal.
    known = {(type(value), value): result for value, result in zip(values, results, strict=True)}
    names = ", ".join(json.dumps(value, ensure_ascii=False) for value in values)

    def decode(value: Any) -> Any:
        try:
            return known[type(value), value]
        except (KeyError, TypeError):
            pass
        raise Invalid(f"expected one of {names}") if len(values) != 1 else Invalid(f"expected {names}")

    return decode


def _list(item: Decoder, result: Callable[[list[Any]], Any] | None) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise _expected("a list", value)
        items = []
        try:
            for element in value:
                items.append(item(element))
        except Invalid as invalid:
            raise invalid.within(len(items)) from None
        return items if result is None else result(items)

    return decode


def _tuple(items: list[Decoder]) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise _expected("a list", value)
        if len(value) != len(items):
            raise Invalid(f"expected {len(items)} items, found {len(value)}")
        return tuple(_within(item, value[index], index) for index, item in enumerate(items))

    return decode


def _dict(item: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise _expected("an object", value)
        return {key: _within(item, element, key) for key, element in value.items()}

    return decode


def _union(names: list[str], items: list[Decoder]) -> Decoder:
    def decode(value: Any) -> Any:
        problems = []
        for name, item in zip(names, items, strict=True):
            try:
                return item(value)
            except Invalid as invalid:
                problems.append(f"as {name}, {invalid}")
        raise Invalid("; ".join(problems))

    return decode


def _optional(item: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        return None if value is None else item(value)

    return decode


class _Field(typing.NamedTuple):
    name: str
    key: str
    decode: Decoder
    is_required: bool


def _object(expected: type, fields: list[_Field]) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise _expected("an object", value)
        arguments = {}
        for name, key, item, is_required in fields:
            if key in value:
                try:
                    arguments[name] = item(value[key])
                except Invalid as invalid:
                    raise invalid.within(key) from None
            elif is_required:
                raise Invalid("is missing").within(key)
        try:
            return expected(**arguments)
        except Invalid:
            raise
        except ValueError as error:
            # Of the class itself, in __post_init__.
            raise Invalid(str(error)) from None

    return decode


class _Compiler:
    def __init__(self) -> None:
        #: By class; None while it is compiled.
        self.objects: dict[type, Decoder | None] = {}

    def compile(self, expected: Any, place: str) -> Decoder:
        origin, arguments = typing.get_origin(expected), typing.get_args(expected)
        if expected in (Any, object):
            return _any
        if expected is None:
            return _plain(type(None))
        if origin is typing.Annotated:
            return self.compile(arguments[0], place)
        if origin is typing.Literal:
            return _one_of(list(arguments), list(arguments))
        if origin in (typing.Union, types.UnionType):
            return self.union(arguments, place)
        if origin is list:
            return _list(self.compile(arguments[0], f"{place}[]"), None)
        if origin is tuple:
            if len(arguments) == 2 and arguments[1] is ...:
                return _list(self.compile(arguments[0], f"{place}[]"), tuple)
            return _tuple([self.compile(item, f"{place}[{index}]") for index, item in enumerate(arguments)])
        if origin is dict and arguments[0] is str:
            return _dict(self.compile(arguments[1], f"{place}[…]"))
        if isinstance(expected, typing.NewType):
            return self.compile(expected.__supertype__, place)
        if type(expected).__name__ == "TypeAliasType":
            return self.compile(expected.__value__, place)
        if origin is None and isinstance(expected, type):
            return self.one(expected, place)
        raise TypeError(f"{place}: {expected} has no form in JSON")

    def one(self, expected: type, place: str) -> Decoder:
        if dataclasses.is_dataclass(expected):
            return self.dataclass(expected, place)
        if issubclass(expected, enum.Enum):
            members = list(expected)
            return _one_of([member.value for member in members], members)
        if expected is float:
            return _float
        if expected in _NAMES:
            return _plain(expected)
        if expected is datetime.datetime:
            return _date(expected, "a date and time (ISO 8601)")
        if expected is datetime.date:
            return _date(expected, "a date (YYYY-MM-DD)")
        # Whoever asks for one has imported it.
        if expected is getattr(sys.modules.get("decimal"), "Decimal", None):
            return _decimal(expected)
        raise TypeError(f"{place}: {expected.__name__} has no form in JSON")

    def union(self, arguments: tuple[Any, ...], place: str) -> Decoder:
        others = [argument for argument in arguments if argument is not type(None)]
        items = [self.compile(other, place) for other in others]
        if len(items) == 1:
            decode = items[0]
        else:
            decode = _union([getattr(other, "__name__", str(other)) for other in others], items)
        return decode if len(others) == len(arguments) else _optional(decode)

    def dataclass(self, expected: type, place: str) -> Decoder:
        if expected not in self.objects:
            self.objects[expected] = None
            hints = typing.get_type_hints(expected, include_extras=True)
            fields = [
                _Field(
                    field.name,
                    field.metadata.get("json", field.name),
                    self.compile(hints[field.name], f"{place}.{field.name}"),
                    field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                )
                for field in dataclasses.fields(expected)
                if field.init
            ]
            self.objects[expected] = _object(expected, fields)
        decoder = self.objects[expected]
        if decoder is not None:
            return decoder

        def later(value: Any) -> Any:
            # It contains itself.
            decoder = self.objects[expected]
            assert decoder is not None
            return decoder(value)

        return later


def decoder(expected: Any) -> Decoder:
    """A function that turns parsed JSON into this type. Raises `TypeError` if it has no form in JSON.

    The function raises `Invalid`, or `RecursionError`.
    """
    return _Compiler().compile(expected, getattr(expected, "__name__", str(expected)))


def decode(expected: Any, value: bytes) -> Any:
    """The value of a JSON text in this type. Raises `Invalid`."""
    return decoder(expected)(parse(value))
