"""What the doctor looks at, and what it finds."""

import importlib.metadata
import importlib.util
import locale
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from rxlapce.transports.shm import ShmSender, shm_unavailable
from rxlapce.transports.unix import default_socket_path

#: Where systemd looks for units of a user (systemd.unit(5)), below the user's own.
_UNIT_DIRS: Final = ("/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")


class Level(StrEnum):
    """How bad it is. With a problem something does not work; a warning may be as it is meant to be."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `remedy` says what to do about what is not ok."""

    level: Level
    said: str
    remedy: str = ""


def ok(said: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, said)


def warning(said: str, remedy: str) -> Finding:
    """It works, but maybe not as it is meant to."""
    return Finding(Level.WARNING, said, remedy)


def problem(said: str, remedy: str) -> Finding:
    """Something does not work."""
    return Finding(Level.PROBLEM, said, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the checks look at: the machine as it is, or as a test has it.

    `requirements` are the package's own, as its metadata has them; None where it has none. `open_files` is this
    process's limit, 0 for none. `free_bytes` tells of the disk that a folder is on; `make_ring` raises `OSError`.
    """

    environ: Mapping[str, str]
    path: Path
    config: Path | None = None
    key_file: Path | None = None
    uid: int
    home: Path
    python: tuple[int, ...]
    requirements: Sequence[str] | None
    version_of: Callable[[str], str | None]
    has_module: Callable[[str], bool]
    shm_unavailable: str | None
    make_ring: Callable[[], None]
    open_files: int
    tmp: Path = Path("/tmp")  # noqa: S108 - it is what is looked at
    unit_dirs: Sequence[Path]
    log_dirs: Sequence[Path]
    free_bytes: Callable[[Path], int]
    encoding: str


Check = Callable[[Facts], Iterable[Finding]]


def facts_here(path: Path | None, config: Path | None, key_file: Path | None) -> Facts:
    """The machine, the user and the environment of this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    home = Path.home()
    units = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "systemd" / "user"
    return Facts(
        environ=os.environ,
        path=path or default_socket_path(),
        config=config,
        key_file=key_file,
        uid=os.geteuid(),
        home=home,
        python=sys.version_info[:3],
        requirements=_requirements(),
        version_of=_version_of,
        has_module=_has_module,
        shm_unavailable=shm_unavailable(),
        make_ring=_make_ring,
        open_files=0 if soft == resource.RLIM_INFINITY else soft,
        unit_dirs=(units, *map(Path, _UNIT_DIRS)),
        log_dirs=(home, Path("/var/log")),
        free_bytes=lambda folder: shutil.disk_usage(folder).free,
        encoding=sys.stdout.encoding or locale.getpreferredencoding(False),
    )


def _requirements() -> Sequence[str] | None:
    try:
        return importlib.metadata.requires("rxlapce") or ()
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package that it would be in is not there
        return False


def _make_ring() -> None:
    ShmSender(4096).close()
