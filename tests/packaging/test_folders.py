"""`operators/` and `transports/` are real folders at the root, and modules only under `rxlapce`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("operators", "transports")

pytestmark = pytest.mark.skipif(
    not (ROOT / "operators").exists(), reason="an unpacked sdist has no folders at its root"
)


@pytest.mark.parametrize("name", LINKED)
def test_folder_at_the_root_is_the_real_one(name: str) -> None:
    assert not (ROOT / name).is_symlink()
    assert (ROOT / "rxlapce" / name).is_symlink(), "git config core.symlinks true, then check the links out again"
    assert (ROOT / name).samefile(ROOT / "rxlapce" / name)


@pytest.mark.parametrize("name", LINKED)
def test_link_is_relative_so_that_a_clone_may_lie_anywhere(name: str) -> None:
    assert (ROOT / "rxlapce" / name).readlink() == Path("..") / name


@pytest.mark.parametrize("name", LINKED)
def test_importing_the_top_level_folder_is_refused_with_the_right_name(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert run.returncode == 1
    assert run.stderr.rstrip().endswith(f"ImportError: import rxlapce.{name}, not the top-level folder")


@pytest.mark.parametrize("name", LINKED)
def test_module_of_a_linked_folder_loads_under_its_one_name(name: str) -> None:
    program = f"import rxlapce.{name}, sys; print([m for m in sys.modules if m.split('.')[0] == '{name}'])"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert run.stdout.strip() == "[]"
