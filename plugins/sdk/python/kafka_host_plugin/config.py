"""The plugin's configuration: the keys of `[plugin.config]` in `host.toml`."""

from . import _host
from wit_world.imports import config as _config


class ConfigMissing(LookupError):
    """The configuration has no value for a key."""


def get(key: str) -> str | None:
    """The value of a key, or None."""
    _host.require("config.get")
    return _config.get(_host.text(key, "the key of a configuration value"))


def require(key: str) -> str:
    """The value of a key. Raises `ConfigMissing` if there is none."""
    value = get(key)
    if value is None:
        raise ConfigMissing(f"the plugin's configuration has no {key!r}; set it in [plugin.config] of host.toml")
    return value
