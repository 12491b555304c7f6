"""What is built from the checkout: the sdist, and the wheel that is built from it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".cache", "*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info"
)

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    sdist: Path

    def in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def in_sdist(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both, by the standard front end, from a copy: building leaves folders beside the sources."""
    folder = tmp_path_factory.mktemp("built")
    tree = shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=LEFT_OUT)
    build = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return Built(wheel, sdist)


def sources(folder: Path) -> set[str]:
    """The Python files below `folder`, relative to it."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*.py")}


def all_modules() -> set[str]:
    """Every Python file that users get, by the path it must have."""
    plain = {f"rxlapce/{name}" for name in sources(ROOT / "rxlapce")}
    linked = {f"rxlapce/{folder}/{name}" for folder in ("operators", "transports") for name in sources(ROOT / folder)}
    return plain | linked


def test_wheel_holds_every_module_and_nothing_beside_the_package(built: Built) -> None:
    inside = built.in_wheel()
    assert {name for name in inside if name.endswith(".py")} == all_modules()
    assert {name.split("/")[0] for name in inside} == {"rxlapce", "rxlapce-0.1.0.dist-info"}
    assert "rxlapce/py.typed" in inside


def test_wheel_works_by_itself_under_the_documented_names(built: Built, tmp_path: Path) -> None:
    shutil.unpack_archive(built.wheel, tmp_path, "zip")
    program = (
        "import rxlapce, rxlapce.operators.decode, rxlapce.transports.writer, sys; print(rxlapce.__file__);"
        "print(any(name in sys.modules for name in ('operators', 'transports')))"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {program}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert run.stdout.split() == [str(tmp_path / "rxlapce" / "__init__.py"), "False"]


def test_wheel_tells_its_licence_python_and_command(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        metadata = message_from_bytes(archive.read("rxlapce-0.1.0.dist-info/METADATA"))
        commands = archive.read("rxlapce-0.1.0.dist-info/entry_points.txt").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "rxlapce = rxlapce.cli.main:main" in commands


def test_sdist_has_what_is_needed_to_test_it(built: Built) -> None:
    inside = built.in_sdist()
    assert all_modules() <= inside
    tests = {f"tests/{name}" for name in sources(ROOT / "tests")}
    assert tests <= inside
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"} <= inside
    assert {f"requirements/{group}.txt" for group in ("run", "test", "dev", "server")} <= inside
