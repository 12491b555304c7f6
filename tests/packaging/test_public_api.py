"""What a user may import, and what importing does: nothing else."""

import ast
import importlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import rxlapce

PACKAGE = Path(rxlapce.__file__).parent
#: Every module, by its one name. `rglob` does not follow the two links, so they are walked by themselves.
MODULES = sorted(
    {
        ".".join(("rxlapce", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for folder in (PACKAGE, PACKAGE / "operators", PACKAGE / "transports")
        for file in folder.rglob("*.py")
        if file.stem != "__main__"
    }
)


def run(program: str) -> str:
    """What `program` prints in a fresh interpreter in which warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=25, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(*modules: str) -> set[str]:
    """The names of all modules that importing `modules` loads."""
    program = f"import {', '.join(modules)}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(run(program)))


def declares_all(name: str) -> bool:
    file = PACKAGE.joinpath(*name.split(".")[1:])
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return any(
        isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for node in ast.parse(file.read_text()).body
    )


WITH_ALL = [name for name in MODULES if declares_all(name)]


def test_the_root_declares_what_is_public() -> None:
    assert "rxlapce" in WITH_ALL
    assert len(MODULES) > 20, "the walk found the modules"


@pytest.mark.parametrize("name", WITH_ALL)
def test_all_has_no_doubles_and_only_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    exported: list[str] = module.__all__
    assert len(set(exported)) == len(exported)
    assert [item for item in exported if not hasattr(module, item)] == []


def test_root_binds_no_public_name_that_all_does_not_have() -> None:
    bound = {name for name, value in vars(rxlapce).items() if not isinstance(value, ModuleType)}
    assert {name for name in bound if not name.startswith("_")} | {"__version__"} == set(rxlapce.__all__)


def test_version_is_the_installed_one() -> None:
    assert rxlapce.__version__ == version("rxlapce")


@pytest.mark.heavy
def test_every_module_imports_alone_without_a_warning() -> None:
    program = f"import importlib\nfor name in {MODULES!r}: importlib.import_module(name)"
    assert run(program) == ""


def test_every_module_begins_with_a_docstring() -> None:
    bare = [name for name in MODULES if not (importlib.import_module(name).__doc__ or "").strip()]
    assert bare == []


def test_importing_rxlapce_loads_no_heavy_package() -> None:
    heavy = {"aiohttp", "click", "rich", "structlog", "uvloop", "xllamacpp", "yaml", "hypothesis", "pytest"}
    assert heavy & loaded_by("rxlapce") == set()


def test_importing_rxlapce_opens_and_starts_nothing() -> None:
    """Python's own audit events tell: no socket, no process, no thread, no file written, no environment changed."""
    program = """
import sys, threading
seen = []
def watch(event, arguments):
    if event.split(".")[0] in {"socket", "subprocess", "ctypes", "webbrowser"} or event in {"os.putenv", "os.fork"}:
        seen.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(f"open {arguments[0]} {arguments[1]}")
sys.dont_write_bytecode = True
import socket  # makes an event of its own while it loads
sys.addaudithook(watch)
import rxlapce
assert threading.active_count() == 1, threading.enumerate()
print(*seen)
"""
    assert run(program).split() == []


def test_editors_side_loads_neither_an_http_client_nor_a_provider() -> None:
    loaded = loaded_by("rxlapce.bridge")
    ours = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("rxlapce.")}
    assert "aiohttp" not in loaded
    forbidden = ("providers", "dialects", "operators", "daemon", "simulator", "cli", "config", "routing", "telemetry")
    assert ours & {f"rxlapce.{part}" for part in forbidden} == set()


@pytest.mark.heavy
def test_a_daemon_of_its_own_loads_nothing_of_a_shared_store() -> None:
    loaded = loaded_by("rxlapce.cli.serve")
    assert "rxlapce.operators.store_address" in loaded
    assert {"limits", "redis", "rxlapce.operators.shared_ledger"} & loaded == set()


def test_simulator_is_not_loaded_by_the_daemon() -> None:
    assert not any(name.startswith("rxlapce.simulator") for name in loaded_by("rxlapce.daemon.server"))
