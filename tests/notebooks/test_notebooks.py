"""The notebooks as they are committed; and one test that runs them all."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
#: What nbformat 4.5 allows (its JSON Schema, `definitions/cell_id`).
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
#: The longest story to read in one piece, in characters: a notebook is looked at, not read.
MAX_TEXT = 1100

anyone = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text())
    return notebook


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_six_in_order() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == ["01-", "02-", "03-", "04-", "05-", "06-"]


@anyone
def test_a_notebook_is_committed_without_what_a_run_adds(path: Path) -> None:
    notebook = read(path)
    for cell in notebook["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


@anyone
def test_a_notebook_is_valid_and_its_cells_can_be_told_apart(path: Path) -> None:
    notebook = read(path)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len(set(ids)) == len(ids)
    assert all(CELL_ID.fullmatch(one) for one in ids)
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"markdown", "code"}


@anyone
def test_a_link_leads_to_what_is_there(path: Path) -> None:
    text = "\n".join(source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "markdown")
    links = [link for link in LINK.findall(text) if "://" not in link]
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


@anyone
def test_a_notebook_shows_pictures_says_little_at_once_and_checks_what_it_promised(path: Path) -> None:
    cells = read(path)["cells"]
    assert sum("picture" in cell["metadata"].get("tags", []) for cell in cells) >= 2
    assert all(len(source(cell)) <= MAX_TEXT for cell in cells if cell["cell_type"] == "markdown")
    assert "assert " in source(cells[-1])
    assert ".run()" not in "".join(source(cell) for cell in cells if cell["cell_type"] == "code")


def test_what_ipykernel_says_of_its_own_end_is_no_fault_of_a_notebook() -> None:
    own = (
        "ERROR:tornado.general:Uncaught exception in ZMQStream callback\n"
        "Traceback (most recent call last):\n"
        '  File "zmqstream.py", line 585, in _log_error\n'
        "    f.result()\n"
        '  File "kernelbase.py", line 372, in dispatch_control\n'
        "    await self.process_control(msg)\n"
        "zmq.error.ZMQError: Socket operation on non-socket\n"
    )
    another = own.replace("dispatch_control", "dispatch_shell")
    pattern = runpy.run_path(str(FOLDER / "run.py"))["ENDED_FIRST"]
    assert pattern.sub("", f"before\n{own}after\n{another}") == f"before\nafter\n{another}"


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_all_run_from_top_to_bottom() -> None:
    ran = subprocess.run([sys.executable, FOLDER / "run.py", "--json"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(ran.stdout.splitlines()) == len(NOTEBOOKS)


@pytest.mark.browser
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("cell", "tags", "told"),
    [
        ("1 / 0", [], "ZeroDivisionError"),
        ("import sys; print('x', file=sys.stderr)", [], "wrote to standard error"),
        ("1", ["picture"], "shows no picture"),
        ("import os; os.write(2, b'unclosed') and None", [], "standard error"),
    ],
)
def test_what_a_notebook_may_not_do_is_told_with_its_name(
    tmp_path: Path, cell: str, tags: list[str], told: str
) -> None:
    (tmp_path / "run.py").write_text((FOLDER / "run.py").read_text())
    notebook = read(NOTEBOOKS[0])
    made: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {"tags": tags}, "source": cell, "outputs": []}
    notebook["cells"] = [{**made, "execution_count": None}]
    (tmp_path / "1-a.ipynb").write_text(json.dumps(notebook))
    ran = subprocess.run([sys.executable, tmp_path / "run.py"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "1-a.ipynb" in ran.stderr
    assert told in ran.stderr
