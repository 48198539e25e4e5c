"""Declaration and delivery."""

import logging
import unittest
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from kafka_host_plugin import Done, Message, Outcome, Plugin, Reject, Retry, RetryPolicy, Skipped
from kafka_host_plugin import config, effects, plugin
from kafka_host_plugin._plugin import _registered, registered
from kafka_host_plugin._wire import description, received, wire
from kafka_host_plugin.testing import Host, LogLine, message
from wit_world.exports import lifecycle
from wit_world.imports import messages


@dataclass
class Order:
    number: str


class Tests(unittest.TestCase):
    def setUp(self) -> None:
        _registered.clear()
        self.addCleanup(_registered.clear)

    def declare(self, handler: Any, **more: Any) -> Plugin[Any]:
        return plugin(**{"name": "orders", "version": "1", "summary": "", "topic": "orders.new", **more})(handler)


class Declaring(Tests):
    def test_all_but_four_things_have_a_default(self) -> None:
        def handle(order: Order) -> None: ...

        retry = lifecycle.RetryPolicy(5, 1000, 2.0, 3_600_000, 0.0, 86_400_000)
        subscription = lifecycle.Subscription("orders.new", "orders-group", "orders.new.dlt", retry)
        self.assertEqual(
            description(self.declare(handle)), lifecycle.Description("orders", "1", "", subscription, [])
        )

    def test_all_can_be_declared(self) -> None:
        def handle(order: Order) -> None: ...

        policy = RetryPolicy(
            retries=1,
            delay=timedelta(milliseconds=10),
            multiplier=3,
            max_delay=timedelta(seconds=2),
            jitter=0.5,
            max_age=timedelta(minutes=1),
        )
        declared = self.declare(handle, group="g", dead_letter_topic="d", retry=policy, max_batch=7)
        retry = lifecycle.RetryPolicy(1, 10, 3.0, 2000, 0.5, 60_000)
        subscription = lifecycle.Subscription("orders.new", "g", "d", retry)
        self.assertEqual(
            description(declared), lifecycle.Description("orders", "1", "", subscription, [("max-batch", "7")])
        )

    def test_wrong_declarations_are_refused(self) -> None:
        def handle(order: Order) -> None: ...

        for more in ({"name": ""}, {"topic": ""}, {"version": ""}, {"max_batch": 0}, {"max_batch": 1001}):
            self.assertRaises(ValueError, self.declare, handle, **more)
        for policy in ({"retries": -1}, {"multiplier": 0.5}, {"jitter": 2}, {"max_age": timedelta(hours=25)}):
            self.assertRaises(ValueError, lambda policy=policy: RetryPolicy(**policy))

        async def asynchronous(order: Order) -> None: ...

        def untyped(order): ...  # type: ignore[no-untyped-def]

        def three(order: Order, message: Message, more: int) -> None: ...

        def none() -> None: ...

        def unknown(order: set[str]) -> None: ...

        for handler in (asynchronous, untyped, three, none, unknown):
            with self.assertRaises(TypeError) as raised:
                self.declare(handler)
            self.assertIn(" ", str(raised.exception))

    def test_a_component_has_one_plugin(self) -> None:
        self.assertRaisesRegex(LookupError, "no plugin is declared", registered)
        first = self.declare(_raw)
        self.assertIs(registered(), first)
        self.declare(_raw, name="other")
        self.assertRaisesRegex(LookupError, "orders, other", registered)


def _raw(message: Message) -> Outcome:
    return Done(str(message.value))


class Delivering(Tests):
    def deliver(self, handler: Any, value: object, **fields: Any) -> Outcome:
        with Host() as host:
            return host.deliver(self.declare(handler), value, **fields)

    def test_a_handler_gets_what_it_asks_for(self) -> None:
        def value(order: Order) -> Outcome:
            return Done(order.number)

        def both(order: Order, message: Message) -> Outcome:
            return Done(f"{order.number} {message.topic} {message.attempt} {message.header('a')!r}")

        def anything(order: dict[str, Any]) -> Outcome:
            return Done(order["number"])

        self.assertEqual(self.deliver(value, {"number": "7"}), Done("7"))
        self.assertEqual(self.deliver(anything, {"number": "7"}), Done("7"))
        fields = {"headers": {"a": "1"}, "attempt": 3}
        self.assertEqual(self.deliver(both, {"number": "7"}, **fields), Done("7 orders.new 3 b'1'"))
        self.assertEqual(self.deliver(_raw, b"\xff"), Done("b'\\xff'"))
        self.assertEqual(self.deliver(_raw, None), Done("None"))
        self.assertEqual(self.declare(value)(Order("8")), Done("8"))

    def test_what_cannot_be_decoded_is_rejected(self) -> None:
        def handle(order: Order) -> None:
            raise AssertionError("it is not called")

        self.assertEqual(self.deliver(handle, None), Reject("tombstone", "the message has no value"))
        self.assertEqual(
            self.deliver(handle, {"number": 7}),
            Reject("invalid-message", "number: expected a text, found an integer"),
        )

    def test_outcomes_are_returned_or_raised(self) -> None:
        def handle(how: str) -> Outcome | None:
            match how:
                case "return":
                    return Retry("busy", "later", after=timedelta(seconds=2))
                case "raise":
                    raise Retry("busy", "later", after=timedelta(seconds=2))
                case "reject":
                    raise Reject("no", "never")
                case "skip":
                    return Skipped("nothing to do")
                case "wrong":
                    return "text"  # type: ignore[return-value]
                case "error":
                    raise LookupError("bad")
            return None

        later = Retry("busy", "later", after=timedelta(seconds=2))
        self.assertEqual(self.deliver(handle, "return"), later)
        self.assertEqual(self.deliver(handle, "raise"), later)
        self.assertNotEqual(later, Retry("busy", "later"))
        self.assertEqual(self.deliver(handle, "reject"), Reject("no", "never"))
        self.assertEqual(self.deliver(handle, "skip"), Skipped("nothing to do"))
        self.assertEqual(self.deliver(handle, ""), Done())
        self.assertRaisesRegex(TypeError, "returned a str", self.deliver, handle, "wrong")
        self.assertRaisesRegex(LookupError, "bad", self.deliver, handle, "error")

    def test_outcomes_have_their_form_in_the_contract(self) -> None:
        self.assertEqual(wire(Done("a\ud800")), messages.Outcome_Done("a?"))
        self.assertEqual(wire(Skipped()), messages.Outcome_Skipped(""))
        failure = messages.Failure("c", "d")
        self.assertEqual(wire(Reject("c", "d")), messages.Outcome_Reject(failure))
        self.assertEqual(wire(Retry("c", "d")), messages.Outcome_Retry(messages.RetryLater(failure, None)))
        later = wire(Retry("c", "d", timedelta(seconds=1.5)))
        self.assertEqual(later, messages.Outcome_Retry(messages.RetryLater(failure, 1500)))
        self.assertRaisesRegex(TypeError, "the receipt of Done", wire, Done(5))  # type: ignore[arg-type]
        self.assertRaises(ValueError, Retry, "c", "d", timedelta(seconds=-1))

    def test_a_message_of_the_contract_is_received(self) -> None:
        header = messages.Header("a", None)
        wired = messages.Message("id", "t", 1, 2, 3000, b"k", None, [header], 4, 5, [("x", "y")])
        one = received(wired)
        self.assertEqual((one.id, one.topic, one.partition, one.offset), ("id", "t", 1, 2))
        self.assertEqual((one.key, one.value), (b"k", None))
        self.assertEqual((one.attempt, one.max_attempts, one.attributes), (4, 5, {"x": "y"}))
        self.assertEqual(one.timestamp, datetime(1970, 1, 1, 0, 0, 3, tzinfo=timezone.utc))
        self.assertIsNone(message("").timestamp)
        self.assertIsNone(one.header("a"))


class TheHost(Tests):
    def test_configuration_and_effects(self) -> None:
        with Host(config={"url": "x"}) as host:
            self.assertEqual((config.get("url"), config.get("other"), config.require("url")), ("x", None, "x"))
            self.assertRaisesRegex(LookupError, "'other'.*host.toml", config.require, "other")
            effects.keep()
        self.assertEqual(host.kept, 1)

    def test_without_a_host_it_is_said_why_it_cannot_be_called(self) -> None:
        for call in (lambda: config.get("a"), effects.keep):
            self.assertRaisesRegex(RuntimeError, "while modules are imported", call)

    def test_logging_has_the_levels_of_the_host(self) -> None:
        with Host() as host:
            logging.debug("d %s", 1)
            logging.info("i", extra={"order": 7})
            logging.getLogger("shop").warning("w")
            logging.critical("c")
            logging.log(5, "t")
            logging.error("%d", "no number")
            try:
                raise ValueError("bad\nthing")
            except ValueError:
                logging.exception("failed")
        self.assertEqual(
            host.log,
            [
                LogLine("debug", "d 1", {}),
                LogLine("info", "i", {"order": "7"}),
                LogLine("warn", "w", {"logger": "shop"}),
                LogLine("error", "c", {}),
                LogLine("error", "'%d' (TypeError: %d format: a real number is required, not str)", {}),
                LogLine("error", "failed: ValueError: bad | thing", {}),
            ],
        )


if __name__ == "__main__":
    unittest.main()
