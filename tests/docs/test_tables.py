"""Documents that repeat what the code says, say the same."""

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCS / "tables.py"), "--check", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)


def test_tables_are_what_the_code_says() -> None:
    done = check()
    assert done.returncode == 0, f"run python docs/tables.py\n{done.stdout}{done.stderr}"


DRIFTS = (
    ("protocol.md", "| `0x0205` |", "| `0x0206` |"),
    ("protocol.md", "| 128 | reader |", "| 136 | reader |"),
    ("protocol.md", "10,485,760 bytes", "16,777,216 bytes"),
    ("resilience.md", "| `patience_s` | seconds from 0 | `2` |", "| `patience_s` | seconds from 0 | `20` |"),
    ("resilience.md", "  max_cooldown_s: 3600", "  max_cooldown_s: 600"),
    ("cli.md", "`--max-tokens INTEGER RANGE`", "`--most-tokens INTEGER RANGE`"),
)


@pytest.mark.heavy
def test_tables_that_have_drifted_are_shown_and_nothing_is_written(tmp_path: Path) -> None:
    drifted: dict[Path, str] = {}
    for document, true, false in DRIFTS:
        copy = tmp_path / document
        text = drifted.get(copy) or (DOCS / document).read_text()
        assert true in text
        drifted[copy] = text.replace(true, false)
    for copy, text in drifted.items():
        copy.write_text(text)
    done = check(*drifted)
    assert done.returncode == 1
    removed = [line for line in done.stdout.splitlines() if line.startswith("-")]
    for _, _, false in DRIFTS:
        assert any(false in line for line in removed)
    assert {copy: copy.read_text() for copy in drifted} == drifted
