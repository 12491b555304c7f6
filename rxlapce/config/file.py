"""The YAML file beside the environment, as its sections: whole, and none that nobody reads."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from rxlapce.config.document import Place, Problems, read_document
from rxlapce.errors import ConfigError, Problem

#: A vendor or an alias is some 200 bytes; YAML's reader takes 8 s for a MB (2026-11-22).
MAX_FILE_BYTES: Final = 256 * 1024
#: The sections of the file, in the order in which they are best written, and what each is for.
SECTIONS: Final[Mapping[str, str]] = {
    "providers": "who can be asked besides those that the environment configures, and with which keys",
    "models": "names of your own for one or several models",
    "pipelines": "the stages that an answer goes through, and where it ends",
    "routes": "which pipeline a request takes; the first route that fits",
    "timeouts": "how long an attempt may take",
    "limits": "how much may be asked, by model, provider, user and client",
    "retry": "how often and how soon a model is asked again",
    "breaker": "when a provider that fails is left alone, and for how long",
    "fallback": "what is tried at the next model of a name, and when",
    "health": "how often providers are looked at",
    "vault": "where the vault is, and what opens it",
    "telemetry": "logs, metrics and the audit log",
    "serve": "the options of `rxlapce serve`, below flag and environment",
}


@dataclass(frozen=True, slots=True)
class FileText:
    """A file that has been read: a pipe, as `<(command)` makes one, can be read once, and no file changes meanwhile."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """What is in the file. Raises `ConfigError` as `read_text`."""
        return cls(str(path), read_text(path))


def read_sections(file: Path | FileText, problems: Problems | None = None) -> dict[str, Place]:
    """The sections that the file has, by name, with where what is wrong in them is gathered.

    Raises `ConfigError` for a file that cannot be read, is too large, no UTF-8, no YAML, or has other sections.
    """
    found = file if isinstance(file, FileText) else FileText.read(file)
    return read_document(found.text, found.name, problems).members(SECTIONS)


def read_text(path: Path) -> str:
    """What is in the file. Raises `ConfigError` if it cannot be read, is too large, or no UTF-8."""
    try:
        with path.open("rb") as file:  # also a pipe: its size is known when it is read
            return text_of(file.read(MAX_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise _error(str(path), f"cannot be read: {error.strerror or type(error).__name__}") from None


def text_of(data: bytes, name: str) -> str:
    """The text of a file that is called `name`. Raises `ConfigError` if it is too large, or no UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        raise _error(name, f"larger than {MAX_FILE_BYTES} bytes")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _error(name, "it is UTF-16: save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode().split("\n")
        message = f"not UTF-8: byte {error.start} is no part of a character"
        raise _error(name, message, len(before), len(before[-1]) + 1) from None


def _error(name: str, message: str, line: int = 0, column: int = 0) -> ConfigError:
    """The error of a place in the file, or of the whole of it."""
    problem = Problem(name, line, column, "", message)
    return ConfigError(str(problem), [problem])


def default_config_file(environ: Mapping[str, str]) -> Path:
    """Where the configuration is looked for when nobody says where (XDG Base Directory Specification)."""
    said = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(said) if said.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".config"
    return folder / "rxlapce" / "config.yaml"


def section_digests(file: FileText) -> dict[str, str]:
    """A short name for what each section of the file says, by the section's name. Raises `ConfigError`."""
    return {
        name: sha256(place.text_of(file.text).encode()).hexdigest()[:16] for name, place in read_sections(file).items()
    }
