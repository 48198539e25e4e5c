"""Makes a component from a module, with componentize-py."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: The directory with this package, and the contract.
_PACKAGE = Path(__file__).resolve().parent
_WIT = _PACKAGE / "wit"
#: componentize-py fails on several worlds, so that the build writes one that includes them.
_WORLD = """
package kafka-host:plugin@0.2.0;
world built {{ {includes} }}
"""
#: Modules whose import needs a capability, and the world that has it.
_CAPABILITIES = {
    "kafka_host_plugin.http": ("http", "http-capability"),
    "kafka_host_plugin.mail": ("mail", "mail-capability"),
    "kafka_host_plugin.produce": ("produce", "produce-capability"),
}
#: The module that componentize-py gets.
_ENTRY = "kafka_host_plugin_entry"
#: Imports the plugin in a process of its own, as componentize-py does, and says what it has found.
_LOOK = """
import json, sys
import {module}
from kafka_host_plugin import _plugin
plugin = _plugin.registered()
json.dump([plugin.name, plugin.version, sorted(sys.modules)], sys.__stdout__)
"""


class BuildError(Exception):
    """Why a plugin cannot be built, and what to do."""


@dataclass(frozen=True)
class Built:
    """A component that was built."""

    path: Path
    name: str
    version: str
    capabilities: list[str]


def build(module: str, output: Path | None, directories: list[Path]) -> Built:
    """Builds the component of the plugin that a module declares."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise BuildError(f"{module!r} is not the name of a module\n  help: for app.py, it is app")
    directories = [directory.resolve() for directory in directories]
    name, version, modules = _look(module, directories)
    found = [_CAPABILITIES[one] for one in _CAPABILITIES if one in modules]
    output = Path(f"{name}.wasm") if output is None else output
    _componentize(module, [world for _, world in found], directories, output)
    return Built(output, name, version, [capability for capability, _ in found])


def _look(module: str, directories: list[Path]) -> tuple[str, str, list[str]]:
    """Imports the plugin here first: an error is easier to read, and what it imports decides about its world."""
    path = os.pathsep.join([*map(str, directories), str(_PACKAGE.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _LOOK.format(module=module)]
    looked = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if looked.returncode != 0:
        raise BuildError(f"the module {module} cannot be imported, or declares no plugin\n{looked.stderr.rstrip()}")
    sys.stderr.write(looked.stderr)
    try:
        name, version, modules = json.loads(looked.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise BuildError(f"the module {module} ends the process when it is imported") from None
    return name, version, modules


def _componentize(module: str, worlds: list[str], directories: list[Path], output: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        entry = Path(directory, f"{_ENTRY}.py")
        entry.write_text(
            f"import {module}\n"
            "from kafka_host_plugin._exports import Handler, Lifecycle, ready\n"
            "ready()\n"
        )
        made = Path(directory, "made.wasm")
        wit = Path(directory, "wit")
        shutil.copytree(_WIT, wit)
        includes = " ".join(f"include {world};" for world in ("handler-only", *worlds))
        (wit / "built.wit").write_text(_WORLD.format(includes=includes))
        arguments = ["-q", "-d", str(wit), "-w", "kafka-host:plugin/built", "componentize", _ENTRY]
        arguments += _repeated("-p", [directory, *map(str, directories), str(_PACKAGE.parent)])
        _run([*arguments, "-o", str(made)])
        # A host that has the old file open, or a watcher, sees one file or the other.
        output.parent.mkdir(parents=True, exist_ok=True)
        new = output.with_name(f".{output.name}.new")
        new.write_bytes(made.read_bytes())
        new.replace(output)


def _repeated(option: str, values: list[str]) -> list[str]:
    return [argument for value in values for argument in (option, value)]


def _run(arguments: list[str]) -> None:
    if importlib.util.find_spec("componentize_py") is None:
        raise BuildError(
            f"componentize-py is missing in {sys.executable}\n  help: python -m pip install componentize-py==0.25.1"
        )
    script = "import sys; from componentize_py import script; sys.argv[0] = 'componentize-py'; sys.exit(script())"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    made = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=False)
    if made.returncode != 0:
        raise BuildError(
            "componentize-py failed; see above\n  help: modules must be imported at the top level, and be in Python:"
            " wheels with native code do not work"
        )
