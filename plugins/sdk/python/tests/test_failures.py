"""Exceptions as text."""

import contextlib
import io
import unittest
from collections.abc import Callable

from kafka_host_plugin import _failures

TRACEBACK = "Traceback (most recent call last):"


def printed(function: Callable[[], object]) -> list[str]:
    """What is printed if the function's exception ends a call."""
    text = io.StringIO()
    try:
        function()
    except BaseException as error:
        with contextlib.redirect_stderr(text):
            _failures.report(type(error), error, error.__traceback__)
    return text.getvalue().splitlines()


def fail() -> None:
    raise ValueError("bad thing: x")


def fail_with_cause() -> None:
    try:
        fail()
    except ValueError as error:
        raise RuntimeError("outer") from error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


class Odd(Exception):
    __cause__ = property(lambda self: 1 // 0)
    __notes__ = property(lambda self: 1 // 0)


class Reports(unittest.TestCase):
    def test_class_message_and_place(self) -> None:
        lines = printed(fail)
        self.assertEqual((lines[0], lines[-1], lines.count(TRACEBACK)), (TRACEBACK, "ValueError: bad thing: x", 1))
        self.assertRegex(lines[-3], r'^  File ".*test_failures\.py", line [0-9]+, in fail$')
        self.assertEqual(lines[-2], '    raise ValueError("bad thing: x")')

    def test_causes_come_first(self) -> None:
        lines = printed(fail_with_cause)
        cause = lines.index("ValueError: bad thing: x")
        self.assertEqual(lines[cause + 1], _failures._CAUSE)
        self.assertEqual(lines[-1], "RuntimeError: outer")

    def test_what_was_handled_comes_first_unless_it_is_suppressed(self) -> None:
        def during(suppressed: bool) -> list[str]:
            def function() -> None:
                try:
                    fail()
                except ValueError:
                    if suppressed:
                        raise KeyError("a") from None
                    raise KeyError("a")

            return printed(function)

        self.assertIn(_failures._CONTEXT, during(False))
        self.assertEqual(during(True).count(TRACEBACK), 1)

    def test_the_text_of_an_exception_is_one_line(self) -> None:
        error = ValueError(f"a\n{TRACEBACK}\r\n  b\ud800")
        error.add_note("a note")
        self.assertEqual(_failures.summary(error), f"ValueError: a | {TRACEBACK} | b? | a note")
        self.assertEqual(_failures.summary(KeyboardInterrupt()), "KeyboardInterrupt")
        self.assertEqual(_failures.summary(Unprintable()), f"{__name__}.Unprintable: <its text failed with KeyError>")

    def test_an_exception_whose_attributes_fail_is_reported(self) -> None:
        def function() -> None:
            raise Odd("bad thing: x")

        lines = printed(function)
        self.assertEqual(lines[-1], f"{__name__}.Odd: bad thing: x")
        self.assertEqual(lines.count(TRACEBACK), 1)

    def test_a_group_shows_its_exceptions(self) -> None:
        group = ExceptionGroup("two", [ValueError("a"), KeyError("b")])
        expected = "ExceptionGroup: two (2 sub-exceptions): ValueError: a; KeyError: 'b'"
        self.assertEqual(_failures.summary(group), expected)

    def test_everything_has_a_bound(self) -> None:
        def recurse(depth: int) -> int:
            return recurse(depth + 1) + 1

        def large() -> None:
            raise ValueError("x" * 10_000_000)

        def chained() -> None:
            error: Exception = ValueError("y" * 10_000)
            for number in range(100):
                try:
                    raise RuntimeError(f"{number} " + "y" * 10_000) from error
                except RuntimeError as next_error:
                    error = next_error
            error.__cause__.__cause__.__cause__ = error  # type: ignore[union-attr]
            raise error

        for function, end in (
            (lambda: recurse(0), "RecursionError: "),
            (large, "ValueError: xxx"),
            (chained, "RuntimeError: 99 "),
        ):
            lines = printed(function)
            self.assertTrue(lines[-1].startswith(end), lines[-1][:100])
            self.assertLess(sum(map(len, lines)), 12_000)

    def test_paths_in_a_component_are_short(self) -> None:
        self.assertEqual(_failures._short("/1/shop/app.py"), "shop/app.py")
        self.assertEqual(_failures._short("/usr/app.py"), "/usr/app.py")


if __name__ == "__main__":
    unittest.main()
