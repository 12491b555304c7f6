"""The list of events is that of the code, and what the pages show of logs and audit works."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxlapce.telemetry.events import EVENTS
from rxlapce.telemetry.logs import LEVELS
from rxlapce.testing.auditing import rows_in, written

ROOT = Path(__file__).parents[2]
#: What a call of a logger ends in: `log.info`, `self._log.error`, `tell`, and the parts of the daemon that pass it on.
LOGGING = re.compile(r"(?:^|\.)_?(?:log\.(?:debug|info|warning|error)|tell|debug)$")
EVENT = re.compile(r"[a-z]+(?:_[a-z]+)*")


def told_in_code() -> Iterator[tuple[str, Path]]:
    """The texts that loggers are called with first, wherever the daemon logs."""
    for folder in ("daemon", "telemetry", "cli"):
        for path in (ROOT / "rxlapce" / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and node.args and LOGGING.search(ast.unparse(node.func)):
                    said = node.args[0]
                    if isinstance(said, ast.Constant) and isinstance(said.value, str) and EVENT.fullmatch(said.value):
                        yield said.value, path


#: Their names are made, or they are told by a line of their own.
MADE = {"stream_start", "stream_end", "request_start", "request_end", "log_lines_lost"}


def test_every_event_of_the_code_is_listed_and_no_other() -> None:
    told = {event for event, _ in told_in_code()}
    assert told - set(EVENTS) == set(), "list it in rxlapce/telemetry/events.py, and run docs/tables.py"
    assert set(EVENTS) - told == MADE


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_s_levels_are_some(event: str) -> None:
    assert set(EVENTS[event].levels.split(", ")) <= set(LEVELS)


@pytest.mark.parametrize("row", [0, 2])
def test_a_row_s_hash_can_be_had_with_what_every_system_has(tmp_path: Path, row: int) -> None:
    page = (ROOT / "docs" / "audit.md").read_text()
    (script,) = re.findall(r"```sh\n(line=.*?)```", page, re.DOTALL)
    path = tmp_path / "audit.jsonl"
    written(path, row)
    done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.split()[0] == rows_in(path)[row]["hash"]
