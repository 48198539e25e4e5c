"""Whether the host can be called, and where its functions are."""

import sys
from pathlib import Path

try:
    import wit_world as _wit_world  # noqa: F401
except ModuleNotFoundError:
    # Not in a component: the same types, whose functions `testing` provides.
    sys.path.append(str(Path(__file__).parent / "_bindings"))

_reachable = False


def set_reachable(value: bool) -> None:
    """The host can be called from now on, or no longer."""
    global _reachable
    _reachable = value


def is_reachable() -> bool:
    """Whether the host can be called: during a call, and not while the plugin is built or imported."""
    return _reachable


def require(function: str) -> None:
    """Raises an error that explains why the host cannot be called, if it cannot."""
    if not _reachable:
        raise RuntimeError(
            f"{function} was called outside of a call: there is no host while modules are imported, because a plugin's"
            " modules are imported when it is built. Call it in the handler; in a unit test, within"
            " `with kafka_host_plugin.testing.Host():`"
        )


def text(value: object, what: str) -> str:
    """The value as a text that can leave the component, or an error that says what it should have been."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a text (str), not {type(value).__name__}")
    # Half of a surrogate pair has no form in UTF-8.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
