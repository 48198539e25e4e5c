"""The first step of a build, which looks at the plugin. The second one is tested by the end-to-end tests of the host."""

import contextlib
import io
import os
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from kafka_host_plugin import _build
from kafka_host_plugin.__main__ import main

PLUGIN = """
from kafka_host_plugin import Message, plugin
{more}
@plugin(name="orders", version="1.2.3", summary="", topic="orders")
def handle(message: Message) -> None: ...
"""


class Looking(unittest.TestCase):
    def build(self, source: str) -> tuple[list[list[str]], str]:
        """The arguments of componentize-py, and what is printed."""
        calls: list[list[str]] = []

        def run(arguments: list[str]) -> None:
            calls.append(arguments)
            self.world = Path(arguments[arguments.index("-d") + 1], "built.wit").read_text()
            Path(arguments[-1]).write_bytes(b"component")

        with tempfile.TemporaryDirectory() as directory, mock.patch.object(_build, "_run", run):
            Path(directory, "shop.py").write_text(source)
            output = Path(directory, "made", "orders.wasm")
            self.errors = io.StringIO()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(self.errors):
                code = main(["build", "shop.py", "-p", directory, "-o", str(output)])
            self.assertEqual(code == 0, output.exists())
            if code == 0:
                self.assertEqual((output.read_bytes(), os.listdir(output.parent)), (b"component", ["orders.wasm"]))
            return calls, printed.getvalue()

    def worlds(self, more: str) -> list[str]:
        self.build(PLUGIN.format(more=more))
        return re.findall(r"include ([a-z-]+);", self.world)

    def test_a_component_imports_the_capabilities_whose_modules_it_imports(self) -> None:
        base, mail, produce = "handler-only", "mail-capability", "produce-capability"
        self.assertEqual(self.worlds(""), [base])
        self.assertEqual(self.worlds("from kafka_host_plugin import mail"), [base, mail])
        self.assertEqual(self.worlds("from kafka_host_plugin import http"), [base, "http-capability"])
        self.assertEqual(self.worlds("import kafka_host_plugin.produce, kafka_host_plugin.mail"), [base, mail, produce])

    def test_what_was_built_is_printed(self) -> None:
        _, printed = self.build(PLUGIN.format(more="from kafka_host_plugin import mail"))
        self.assertRegex(printed, r"^.*orders\.wasm  orders@1\.2\.3  0\.0 MiB  mail\n$")

    def test_a_module_without_a_plugin_is_refused(self) -> None:
        for source, error in (
            ("", "LookupError: no plugin is declared"),
            ("raise ValueError('x')", 'shop.py", line 1, in <module>\n    raise ValueError(\'x\')\nValueError: x\n'),
            ("import os; os._exit(0)", "ends the process"),
            ("def", "SyntaxError: invalid syntax"),
            (PLUGIN.format(more="from kafka_host_plugin import config; config.get('a')"), "there is no host while"),
        ):
            calls, _ = self.build(source)
            self.assertEqual(calls, [])
            self.assertTrue(self.errors.getvalue().startswith("error: the module shop "))
            self.assertIn(error, self.errors.getvalue())
            self.assertNotIn("importlib", self.errors.getvalue())

    def test_a_name_that_is_no_module_is_refused(self) -> None:
        with self.assertRaisesRegex(_build.BuildError, "for app.py, it is app"):
            _build.build("../app", None, [])


if __name__ == "__main__":
    unittest.main()
