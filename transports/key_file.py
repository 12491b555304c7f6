"""Files of secrets for signed connections: who may sign, and by which secret.

# one line a name; the secret's bytes as hexadecimal digits, 32 of them or more
laptop 3f0c...
"""

import os
import re
import stat
from dataclasses import dataclass
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
    try:
        # Not a FIFO's or a device's bytes, which might never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        advice = "; make one with: rxlapce keygen NAME --file FILE" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}{advice}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"the key file {path} is no regular file")
        if found.st_uid != os.geteuid():
            raise ConfigError(f"the key file {path} belongs to user {found.st_uid}, not to you ({os.geteuid()})")
        if stat.S_IMODE(found.st_mode) & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise ConfigError(f"the key file {path} is open to other users (mode {mode:04o}): chmod 600 {path}")
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"the key file {path} has more than {_MAX_FILE_BYTES:,} bytes")
    keys: dict[str, SigningKey] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            key = _read_line(words, f"{path}:{number}")
            if key.name in keys:
                raise ConfigError(f"{path}:{number}: the name {key.name!r} stands there twice")
            keys[key.name] = key
    if not keys:
        raise ConfigError(f"the key file {path} has no key; make one with: rxlapce keygen NAME --file {path}")
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
        raise ConfigError(f"{where}: the secret of {name!r} is not an even number of hexadecimal digits") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{where}: the secret of {name!r} has {len(secret)} bytes, expected {MIN_SECRET_BYTES} at least"
        )
    return SigningKey(name, secret)


def only_key(path: Path, name: str | None = None) -> SigningKey:
    """The key called `name` of a file, or its first. Raises as `read_keys`, and `ConfigError` if there is none so."""
    keys = read_keys(path)
    if name is None:
        return next(iter(keys.values()))
    if name not in keys:
        raise ConfigError(f"the key file {path} has no key {name!r}; it has {', '.join(keys)}")
    return keys[name]
