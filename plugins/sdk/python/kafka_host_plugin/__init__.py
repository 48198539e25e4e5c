"""Message handlers for the Kafka host, in Python.

    from dataclasses import dataclass
    from kafka_host_plugin import Done, plugin

    @dataclass
    class Order:
        number: str

    @plugin(name="orders", version="0.1.0", summary="Handles orders", topic="orders")
    def handle(order: Order) -> Done:
        return Done(order.number)

`python -m kafka_host_plugin build app -o orders.wasm` makes the component.
"""

from . import _host as _host
from . import _logging as _logging
from . import config as config
from . import effects as effects
from ._decode import Invalid as Invalid
from ._decode import decode as decode
from ._encode import to_json as to_json
from ._message import Header as Header
from ._message import Message as Message
from ._outcomes import Done as Done
from ._outcomes import Outcome as Outcome
from ._outcomes import Reject as Reject
from ._outcomes import Retry as Retry
from ._outcomes import Skipped as Skipped
from ._plugin import Plugin as Plugin
from ._plugin import RetryPolicy as RetryPolicy
from ._plugin import plugin as plugin

__version__ = "0.2.0"

_logging.install()
