#!/usr/bin/env python3
"""Runs the notebooks beside this file from top to bottom, each in a fresh kernel, and checks what they show.

    notebooks/run.py [NAME...] [--keep FOLDER] [--json] [--with-keys]

A NAME is the beginning of a file's name (`04`). What is checked of each: no cell fails, none writes to standard error,
nor does the kernel, also while it stops; each cell with the tag `picture` shows one that is still there when the
notebook is saved; and the last cell asserts what the story promised.

Kernels are this very Python, know nothing of the user's own Jupyter, run in an empty folder, and have no provider's key
unless `--with-keys`. `--keep` writes what was run, with outputs. The exit code is 1 if a notebook fails: its name, the
cell and the error are told.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
#: A cell that takes longer has hung, in seconds.
CELL_S: Final = 60
PICTURE: Final = "picture"
#: What a terminal would make bold; tracebacks have it.
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

#: What ipykernel says of any kernel that is spoken to over loopback.
NOT_ENCRYPTED: Final = re.compile(
    r"^\[IPKernelApp\] WARNING \| Kernel is running over TCP without encryption.*\n?", re.MULTILINE
)
#: What ipykernel 7 says of itself now and then: it has ended before it could tell that it ends.
ENDED_FIRST: Final = re.compile(
    r"^ERROR:tornado\.general:Uncaught exception in ZMQStream callback\nTraceback .*\n"
    r"(?:  .*\n)*  .*, in dispatch_control\n(?:  .*\n)*zmq\.error\.ZMQError: .*\n?",
    re.MULTILINE,
)


class Broken(Exception):
    """What a notebook does that it should not, and in which cell."""


def main() -> int:
    """Run what was asked for. The exit code is that of the program."""
    parser = argparse.ArgumentParser(description="Run the notebooks, and check what they show.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a notebook's name (default: all)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the notebooks with their outputs there")
    parser.add_argument("--json", action="store_true", help="one JSON object a notebook")
    parser.add_argument("--with-keys", action="store_true", help="real models answer, where there are keys")
    options = parser.parse_args()
    found = [path for path in sorted(HERE.glob("[0-9]*.ipynb")) if _is_asked(path.name, options.names)]
    if not found:
        parser.error(f"no notebook begins with {' or '.join(options.names) or 'a digit'}")
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rxlapce-notebooks-") as folder:
        environ = environment(Path(folder), with_keys=options.with_keys)
        os.environ.clear()  # Jupyter's own folders are looked up when it is imported
        os.environ.update(environ)
        failed = [path.name for path in found if not _run(path, Path(folder), options)]
    return 1 if failed else 0


def _is_asked(name: str, asked: Sequence[str]) -> bool:
    return not asked or any(name.startswith(one) for one in asked)


def _run(path: Path, folder: Path, options: argparse.Namespace) -> bool:
    """Run one, and tell what came of it."""
    began = perf_counter()
    wrong = ""
    try:
        asyncio.run(run(path, folder, options.keep))
    except Broken as error:
        wrong = str(error)
    took_s = perf_counter() - began
    if options.json:
        print(json.dumps({"notebook": path.name, "seconds": round(took_s, 1), "error": wrong or None}), flush=True)
    else:
        print(f"{path.name:36} {took_s:5.1f} s  {'FAILED' if wrong else 'ok'}", flush=True)
        if wrong:
            print(wrong, file=sys.stderr, flush=True)
    return not wrong


async def run(path: Path, folder: Path, keep: Path | None = None) -> None:
    """Run the notebook `path` in a folder within `folder`. Raises `Broken`."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    nbformat: Any = import_module("nbformat")  # which has no types
    notebook = nbformat.read(path, as_version=4)
    home = folder / path.stem
    home.mkdir()
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        kernel_name="python3",
        store_widget_state=False,  # what it shows is in the outputs
        resources={"metadata": {"path": str(home)}},
    )
    with (folder / f"{path.stem}.err").open("w+b") as said:
        try:
            await client.async_execute(stderr=said)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise Broken(f"{path.name}: {COLOUR.sub('', str(error)).strip()}") from None
        finally:
            if keep is not None:
                nbformat.write(notebook, keep / path.name)
        said.seek(0)
        words = ENDED_FIRST.sub("", NOT_ENCRYPTED.sub("", said.read().decode(errors="replace"))).strip()
    for at, cell in enumerate(notebook.cells):
        check(f"{path.name}: cell {at} ({cell.id})", cell)
    if words:
        raise Broken(f"{path.name}: the kernel wrote to standard error:\n{words}")


def check(name: str, cell: Any) -> None:
    """Raise `Broken` unless the outputs of `cell`, which is called `name`, are as they should be."""
    if cell.cell_type != "code":
        return
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stderr":
            raise Broken(f"{name} wrote to standard error:\n{output.text}")
    if PICTURE in cell.metadata.get("tags", []) and not any(_stays(output) for output in cell.outputs):
        raise Broken(f"{name} shows no picture that stays when the notebook is saved")


def _stays(output: Any) -> bool:
    html: str = output.get("data", {}).get("text/html", "")
    return "<svg" in html or 'class="rxlapce-raw"' in html


def environment(folder: Path, *, with_keys: bool) -> dict[str, str]:
    """That of the kernels: with a Jupyter that is all in `folder`, and no provider's variables unless `with_keys`."""
    ours = frozenset[str]() if with_keys else frozenset(provider_variables())
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("JUPYTER")}
    kernel = folder / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-W", "default", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    folders = {
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    return {
        **kept,
        **{name: str(folder / part) for name, part in folders.items()},
        "JUPYTER_NO_CONFIG": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the debugger of ipykernel complains about a frozen standard library
    }


def provider_variables() -> Iterator[str]:
    """All that a provider is configured by."""
    from rxlapce.providers import SPECS

    for spec in SPECS.values():
        yield from (spec.key_env, spec.base_url_env, *spec.needs, *spec.more_base_url_env)
        yield from (*spec.extra_env, *spec.secret_env)


if __name__ == "__main__":
    sys.exit(main())
