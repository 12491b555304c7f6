"""Where a store is that several processes share: an address that is shown without its password."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote

from rxlapce.secret import Secret

_TCP: Final = re.compile(
    r"(?P<scheme>rediss?)://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:/(?P<db>[0-9]{1,4})?)?"
)
_UNIX: Final = re.compile(
    r"unix://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<path>/[^?#@]+)(?:\?db=(?P<db>[0-9]{1,4}))?"
)
#: What an address looks like, for who has written another one.
EXPECTED: Final = "an address such as redis://HOST:6379/0, rediss://HOST:6379/0 (TLS) or unix:///PATH?db=0"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAddress:
    """A Redis server by `host` and `port`, or by the `path` of its socket; its text and repr hold no password."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    tls: bool = False
    user: str = ""
    password: Secret | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that `text` gives; `user:password@` in front of the host, percent-encoded where needed.

        Options after a `?` are not taken but for a socket's `db`: what they would change is ours to choose.

        Raises `ValueError`, which does not show `text`.
        """
        found = _TCP.fullmatch(text) or _UNIX.fullmatch(text)
        if found is None:
            raise ValueError(f"expected {EXPECTED}")
        parts = found.groupdict()
        port = int(parts.get("port") or 6379)
        if not 0 < port < 1 << 16:
            raise ValueError(f"expected a port from 1 to 65535 in {EXPECTED}")
        password = unquote(parts["password"] or "")
        return cls(
            host=(parts.get("host") or "localhost").strip("[]"),
            port=port,
            path=unquote(parts.get("path") or ""),
            db=int(parts["db"] or 0),
            tls=parts.get("scheme") == "rediss",
            user=unquote(parts["user"] or ""),
            password=Secret(password) if password else None,
        )

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"
