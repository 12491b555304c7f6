"""The doctor's checks of the machine: Python, packages, shared memory, the socket's place, limits, the service."""

import os
import re
import shlex
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rxlapce.cli.doctor_facts import Facts, Finding, ok, problem, warning
from rxlapce.cli.figures import size
from rxlapce.transports.unix import MAX_PATH_BYTES

_LEAST_PYTHON: Final = (3, 11)
#: A requirement of the package's metadata (PEP 508), as far as our own go: no URLs, no extras that are not asked for.
_REQUIREMENT: Final = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?(?P<bounds>[^;]*)(?:;(?P<marker>.*))?")
_BOUND: Final = re.compile(r"(?P<sign>>=|<)(?P<version>[0-9.]+)")
#: A client with a ring holds three descriptors, and its requests a connection each: a daemon takes 256 clients.
_ENOUGH_FILES: Final = 1024
_FEW_FILES: Final = 256
_LITTLE_SPACE: Final = 200 << 20
_NO_SPACE: Final = 10 << 20
_UNIT: Final = "rxlapce.service"
_SHORTER: Final = "set RXLAPCE_SOCKET to a path in a folder of yours that is short"


def python(facts: Facts) -> Iterator[Finding]:
    """Whether this Python is new enough."""
    version = ".".join(map(str, facts.python))
    least = ".".join(map(str, _LEAST_PYTHON))
    if facts.python < _LEAST_PYTHON:
        yield problem(f"Python {version}, and {least} is the oldest that works", f"use Python {least} or newer")
    else:
        yield ok(f"Python {version}")


def packages(facts: Facts) -> Iterator[Finding]:
    """Whether each package that rxlapce needs is there, in a version that fits."""
    if facts.requirements is None:
        yield warning("rxlapce runs without having been installed", "pip install rxlapce")
        return
    wrong = [told for line in facts.requirements if (told := _unmet(line, facts)) is not None]
    for told in wrong:
        yield problem(told, "pip install --upgrade rxlapce")
    if not wrong:
        yield ok("all packages are there")


def _unmet(line: str, facts: Facts) -> str | None:
    found = _REQUIREMENT.fullmatch(line.strip())
    if found is None or "extra" in (found["marker"] or ""):
        return None
    version, bounds = facts.version_of(found["name"]), found["bounds"].strip()
    if version is None:
        return f"{found['name']} is not installed"
    for bound in _BOUND.finditer(bounds):
        is_less = _numbers(version) < _numbers(bound["version"])
        if is_less != (bound["sign"] == "<"):
            return f"{found['name']} {version} is installed, and {bounds} is needed"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The release's numbers without zeros at the end: 1.20.0rc1 is 1.20, as far as it matters here."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", version, maxsplit=1)[0])]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def shared_memory(facts: Facts) -> Iterator[Finding]:
    """Whether a ring can be made: sealed memory that two processes share."""
    by_socket = "nothing to do: streams come by the socket, at a little more cost"
    if facts.shm_unavailable is not None:
        yield ok(f"{facts.shm_unavailable}; streams come by the socket")
        return
    try:
        facts.make_ring()
    except OSError as error:
        yield warning(f"no ring can be made: {error.strerror or error}", by_socket)
    else:
        yield ok("a ring can be made")


def runtime_dir(facts: Facts) -> Iterator[Finding]:
    """Whether the folder for sockets is the user's own, or `/tmp` is fit to have it."""
    if facts.environ.get("RXLAPCE_SOCKET"):
        yield ok("RXLAPCE_SOCKET says where the socket is")
        return
    named = facts.environ.get("XDG_RUNTIME_DIR")
    if named:
        remedy = "log in anew, or set RXLAPCE_SOCKET to a path in a folder of yours"
        told = _not_own(Path(named), facts.uid)
        yield ok(f"XDG_RUNTIME_DIR is {named}") if told is None else problem(f"XDG_RUNTIME_DIR: {told}", remedy)
        return
    found = facts.tmp.stat()
    if found.st_uid not in (0, facts.uid) or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
        told = f"{facts.tmp} belongs to user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}"
        yield problem(
            f"{told}: others could take the socket away", f"sudo chown root {facts.tmp} && sudo chmod 1777 {facts.tmp}"
        )
    else:
        said = f"XDG_RUNTIME_DIR is not set: the socket is in {facts.tmp}"
        yield warning(said, "an editor that has it set looks elsewhere: set it, or RXLAPCE_SOCKET, for both")


def _not_own(folder: Path, uid: int) -> str | None:
    """Why the folder is not the user's alone; None if it is."""
    try:
        found = folder.lstat()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder"
    if found.st_uid != uid:
        return f"{folder} belongs to user {found.st_uid}, not to you ({uid})"
    mode = stat.S_IMODE(found.st_mode)
    return f"{folder} is open to other users (mode {mode:04o})" if mode & 0o077 else None


def socket_path(facts: Facts) -> Iterator[Finding]:
    """Whether the path has a length that a socket's may have, in a folder that is the user's alone."""
    length, folder = len(os.fsencode(facts.path)), facts.path.parent
    if length > MAX_PATH_BYTES:
        yield problem(f"the path is {length} bytes long, and {MAX_PATH_BYTES} is the most: {facts.path}", _SHORTER)
    elif not folder.exists() and not folder.is_symlink():
        yield ok(f"{folder} is not there yet: rxlapce serve makes it")
    elif (told := _not_own(folder, facts.uid)) is not None:
        yield problem(told, f"chmod 700 {folder}, or set RXLAPCE_SOCKET to a path in a folder that is yours alone")
    else:
        yield ok(str(facts.path))


def stale_socket(facts: Facts) -> Iterator[Finding]:
    """Whether what stands at the socket's path is one, and somebody listens."""
    try:
        found = facts.path.lstat()
    except OSError:
        yield ok("there is nothing at the socket's path")
        return
    if not stat.S_ISSOCK(found.st_mode):
        yield problem(f"{facts.path} is no socket", f"remove it: rm {shlex.quote(str(facts.path))}")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(facts.path))
        except ConnectionRefusedError:
            yield warning(f"nobody listens at {facts.path}: its daemon was killed", "rxlapce serve takes it over")
        except OSError as error:
            said = f"whoever listens at {facts.path} does not answer: {error.strerror or error}"
            yield problem(said, "see what it does, and stop it: rxlapce status; fuser " + shlex.quote(str(facts.path)))
        else:
            yield ok("somebody listens")


def open_files(facts: Facts) -> Iterator[Finding]:
    """Whether a daemon started from here may open as many files as its clients need."""
    limit = facts.open_files
    remedy = f"ulimit -n {_ENOUGH_FILES}, or LimitNOFILE= in the unit"
    if limit and limit < _FEW_FILES:
        yield problem(f"{limit} open files are too few: a client takes three, a request one", remedy)
    elif limit and limit < _ENOUGH_FILES:
        yield warning(f"{limit} open files are enough for some {limit // 4} clients", remedy)
    else:
        yield ok(f"{limit or 'any number of'} open files")


def service(facts: Facts) -> Iterator[Finding]:
    """Whether a systemd unit is installed, and starts a program that is there."""
    unit = next((folder / _UNIT for folder in facts.unit_dirs if (folder / _UNIT).is_file()), None)
    if unit is None:
        yield ok("no systemd unit is installed: the daemon is started by hand")
        return
    remedy = "install it anew: rxlapce service install"
    starts = re.findall(r"^ExecStart=[-@:+!|]*(.+)$", unit.read_text(errors="replace"), re.MULTILINE)
    if not starts:
        yield problem(f"{unit} starts nothing", remedy)
        return
    program = Path(shlex.split(starts[-1])[0])
    if program.is_absolute() and not os.access(program, os.X_OK):
        yield problem(f"{unit} starts {program}, which is not there", remedy)
    else:
        yield ok(f"{unit} starts {program}")


def disk(facts: Facts) -> Iterator[Finding]:
    """Whether there is room for what is logged."""
    fullest: tuple[int, Path] | None = None
    for folder in facts.log_dirs:
        if folder.is_dir():
            free = facts.free_bytes(folder)
            fullest = min(fullest or (free, folder), (free, folder))
    if fullest is None:
        yield ok("there is no folder for logs")
        return
    free, folder = fullest
    said = f"{size(free)} free at {folder}"
    remedy = "make room: rxlapce goes on without its log, but nobody will know what it did"
    if free < _NO_SPACE:
        yield problem(said, remedy)
    elif free < _LITTLE_SPACE:
        yield warning(said, remedy)
    else:
        yield ok(said)


def terminal(facts: Facts) -> Iterator[Finding]:
    """Whether what models say can be shown."""
    if facts.encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        yield ok("UTF-8")
    else:
        said = f"text is written as {facts.encoding}, which has no room for most of what models say"
        yield warning(said, "export LANG=C.UTF-8, or PYTHONUTF8=1")
