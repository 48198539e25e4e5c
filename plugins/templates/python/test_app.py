"""The handler alone, without a host."""

import unittest

from app import greet
from kafka_host_plugin import Done, Reject
from kafka_host_plugin.testing import Host, LogLine


class Greeting(unittest.TestCase):
    def test_a_greeting_is_logged(self) -> None:
        with Host() as host:
            self.assertEqual(host.deliver(greet, {"name": "Kim"}), Done("greeted"))
        self.assertEqual(host.log, [LogLine("info", "Hello, Kim!", {})])

    def test_nobody_is_not_greeted(self) -> None:
        with Host() as host:
            self.assertEqual(host.deliver(greet, {"name": " "}), Reject("no-name", "the greeting is for nobody"))


if __name__ == "__main__":
    unittest.main()
