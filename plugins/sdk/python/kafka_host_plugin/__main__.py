"""`python -m kafka_host_plugin build MODULE`."""

import argparse
import sys
from pathlib import Path

from ._build import BuildError, build


def main(arguments: list[str] | None = None) -> int:
    """Runs a command. Returns 0, or 1 if the plugin cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m kafka_host_plugin")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "build",
        help="make the component of a plugin",
        description="Makes the component of a plugin. It imports the capabilities whose modules the plugin imports:"
        " kafka_host_plugin.http, kafka_host_plugin.mail, kafka_host_plugin.produce.",
        epilog="example: python -m kafka_host_plugin build app -o orders.wasm",
    )
    command.add_argument("module", help="the module that declares the plugin, such as app for app.py")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the plugin's name and .wasm")
    command.add_argument(
        "-p",
        "--path",
        type=Path,
        action="append",
        metavar="DIR",
        help="a directory with modules; default: this one. May be repeated",
    )
    given = parser.parse_args(arguments)
    try:
        built = build(given.module.removesuffix(".py"), given.output, given.path or [Path()])
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = built.path.stat().st_size / (1 << 20)
    capabilities = ", ".join(built.capabilities) or "no capabilities"
    print(f"{built.path}  {built.name}@{built.version}  {size:.1f} MiB  {capabilities}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
