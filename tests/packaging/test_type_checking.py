"""The type checkers read every file: what a link or a wrong path hides from them would pass unseen."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKED = ("rxlapce", "operators", "transports", "tests", "benchmarks", "protocol")

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


def python_files() -> int:
    """How many files there are, each once: `rglob` does not follow the links in `rxlapce`."""
    return sum(1 for folder in CHECKED for _ in (ROOT / folder).rglob("*.py"))


def test_pyright_reads_every_python_file() -> None:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent))
    assert pyright is not None, "the group dev is not installed: run make test-heavy"
    command = [pyright, "--pythonpath", sys.executable, "--outputjson"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert json.loads(run.stdout)["summary"]["filesAnalyzed"] == python_files()


def test_mypy_reads_every_python_file() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    said = run.stdout.rstrip().splitlines()[-1]
    assert f"{python_files()} source file" in said, said
