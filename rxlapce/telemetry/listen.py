"""Where metrics are served: the two forms of a place."""

from pathlib import Path
from typing import Final

from rxlapce.errors import ConfigError

FORMS: Final = "HOST:PORT, [ADDRESS]:PORT or unix:/PATH"
_UNIX: Final = "unix:"


def parse_listen(listen: str) -> Path | tuple[str, int]:
    """The Unix socket's path, or host and port, of `unix:/PATH`, `HOST:PORT` or `[ADDRESS]:PORT`. Raises `ConfigError`.

    There is no host that is left out: who wants the whole world to ask says 0.0.0.0.
    """
    if listen.startswith(_UNIX):
        path = Path(listen.removeprefix(_UNIX))
        if path.is_absolute():
            return path
    else:
        host, colon, port = listen.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if colon and bare and (":" not in bare or bare != host) and port.isascii() and port.isdigit():
            number = int(port)
            if number <= 0xFFFF:
                return bare, number
    raise ConfigError(f"cannot serve metrics at {listen!r}: expected {FORMS}")
