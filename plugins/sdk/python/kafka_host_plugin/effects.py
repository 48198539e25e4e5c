"""What an outcome means for the effects of its call."""

from . import _host
from wit_world.imports import effects as _effects


def keep() -> None:
    """Keeps the HTTP requests of this call that have a 2xx response by now: they are done, whatever the outcome."""
    _host.require("effects.keep")
    _effects.keep()
