"""What runs while a plugin is built."""

import unittest
from typing import Any

from kafka_host_plugin import Message, Plugin, RetryPolicy, _host, _warm_up, decode, to_json
from tests import test_decode


def declared(handler: Any) -> Plugin[Any]:
    return Plugin(
        handler,
        name="a",
        version="1",
        summary="",
        topic="t",
        group=None,
        dead_letter_topic=None,
        retry=RetryPolicy(),
        max_batch=1,
    )


class WarmUp(unittest.TestCase):
    def test_examples_can_be_decoded(self) -> None:
        for expected in (test_decode.Order, test_decode.Tree, test_decode.Drawing, dict[str, int], Any, list, str):
            decode(expected, to_json(_warm_up._example(expected, 0)))

    def test_handlers_are_not_called(self) -> None:
        def value(order: test_decode.Order) -> None:
            raise AssertionError

        def raw(message: Message) -> None:
            raise AssertionError

        def odd(value: test_decode.Item) -> None:
            raise AssertionError

        for handler in (value, raw, odd):
            _warm_up.warm_up(declared(handler))
            self.assertFalse(_host.is_reachable())


if __name__ == "__main__":
    unittest.main()
