"""What the tests of the crash test share: configurations of somebody's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

WriteConfig = Callable[[str], Path]


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Writes a configuration file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "rxlapce.yaml"
        path.write_text(text)
        return path

    return write
