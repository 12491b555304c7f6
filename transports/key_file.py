"""Files of secrets for signed connections: who may sign, and by which secret.

# one line a name; the secret's bytes as hexadecimal digits, 32 of them or more
laptop 3f0c...
"""

import os
import re
import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from rxlapce.codec.signing import MIN_SECRET_BYTES
from rxlapce.errors import ConfigError

#: Without spaces, so that nobody is taken for a user whom the system tells ("uid 1000").
NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_MAX_FILE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret that both sides know, by its name. Its `repr` does not hold it."""

    name: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"


def read_keys(path: Path) -> dict[str, SigningKey]:
    """The keys of a file, in its order, by name.

    Raises `ConfigError`, which never holds a secret: the file cannot be read, is not this user's or is open to others
    (expected mode 0600), or a line is not one.
    """
    with _opened(path, os.O_RDONLY) as file:
        keys = _keys_in(_all_of(file, path), path)
    if not keys:
        raise ConfigError(f"the key file {path} has no key; make one with: rxlapce keygen NAME --file {path}")
    return keys


def add_key(path: Path, key: SigningKey) -> None:
    """Add a line to a file, which is made if there is none: mode 0600, as one must have that is there.

    Raises `ConfigError` as `read_keys`, with nothing written, and if there is a key of that name.
    """
    with _opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
        data = _all_of(file, path)
        if key.name in _keys_in(data, path):
            raise ConfigError(f"{path} has a key called {key.name!r} already: choose another name, or remove its line")
        before = b"" if data.endswith(b"\n") or not data else b"\n"
        try:
            file.write(before + line_of(key).encode())
            os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def line_of(key: SigningKey) -> str:
    """The line of a key file, with the secret."""
    return f"{key.name} {key.secret.hex()}\n"


def _opened(path: Path, flags: int) -> FileIO:
    """The file, which is this user's alone. Raises `ConfigError`."""
    try:
        # Not a FIFO's or a device's bytes, which might never end.
        file = FileIO(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600), "r" if flags == os.O_RDONLY else "r+")
    except OSError as error:
        advice = "; make one with: rxlapce keygen NAME --file FILE" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}{advice}") from error
    try:
        _check_owner(os.fstat(file.fileno()), path)
    except BaseException:
        file.close()
        raise
    return file


def _check_owner(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the key file {path} is no regular file")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"the key file {path} belongs to user {found.st_uid}, not to you ({os.geteuid()})")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(f"the key file {path} is open to other users (mode {mode:04o}): chmod 600 {path}")


def _all_of(file: FileIO, path: Path) -> bytes:
    data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"the key file {path} has more than {_MAX_FILE_BYTES:,} bytes")
    return data


def _keys_in(data: bytes, path: Path) -> dict[str, SigningKey]:
    keys: dict[str, SigningKey] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            key = _read_line(words, f"{path}:{number}")
            if key.name in keys:
                raise ConfigError(f"{path}:{number}: the name {key.name!r} stands there twice")
            keys[key.name] = key
    return keys


def _read_line(words: list[str], where: str) -> SigningKey:
    if len(words) != 2:
        raise ConfigError(f"{where}: expected a name and a secret, got {len(words)} words")
    name, digits = words
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where}: expected a name of letters, digits and . _ @ -, at most 64 of them")
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        # Without the name: in a line whose words changed places it is the secret.
        raise ConfigError(
            f"{where}: the second word, the secret, is not an even number of hexadecimal digits"
        ) from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(f"{where}: the secret has {len(secret)} bytes, expected {MIN_SECRET_BYTES} at least")
    return SigningKey(name, secret)


def only_key(path: Path, name: str | None = None) -> SigningKey:
    """The key called `name` of a file, or its first. Raises as `read_keys`, and `ConfigError` if there is none so."""
    keys = read_keys(path)
    if name is None:
        return next(iter(keys.values()))
    if name not in keys:
        raise ConfigError(f"the key file {path} has no key {name!r}; it has {', '.join(keys)}")
    return keys[name]
