"""The exports of a component: the functions that the host calls."""

import gc
import logging
import sys

from . import _failures, _host
from ._plugin import registered
from ._wire import description, received, wire
from wit_world import exports
from wit_world.exports import lifecycle
from wit_world.imports import messages

_plugin = registered()


class Lifecycle(exports.Lifecycle):
    """The interface `lifecycle`."""

    def describe(self) -> lifecycle.Description:
        """What the plugin is, and what it handles."""
        _host.set_reachable(True)
        return description(_plugin)


class Handler(exports.Handler):
    """The interface `handler`."""

    def handle(self, batch: list[messages.Message]) -> list[messages.Outcome]:
        """One outcome for each message, in order."""
        _host.set_reachable(True)
        return [wire(_plugin.deliver(received(message))) for message in batch]


def ready() -> None:
    """The last step of a build, when all is imported: from here on, the state is that of each new instance."""
    sys.excepthook = _failures.report
    _failures.remember_sources()
    # A log record would look for its thread, process and task, of which there is one.
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, False)
    # The collector would write to every object that the build has made.
    gc.collect()
    gc.freeze()
