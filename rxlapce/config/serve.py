"""The section `serve`: the options of `rxlapce serve`, where neither a flag nor the environment says otherwise."""

from dataclasses import dataclass

from rxlapce.registry import option


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How the daemon listens and ends. Paths are as a shell would have them after `~`.

    Raises `ValueError` for a ring whose size is no power of two, and where signatures are demanded that nobody can
    check.
    """

    path: str | None = option(None, help="the socket to listen on; null: the user's own")
    ring_kib: int = option(
        1024, help="the ring of a client by shared memory; a power of two", unit="KiB", at_least=4, at_most=1 << 20
    )
    drain_s: float = option(
        5.0, help="how long running streams get to finish when the daemon stops", unit="seconds", at_least=0
    )
    key_file: str | None = option(None, help="secrets of clients that sign; null: nobody can sign")
    require_signing: bool = option(default=False, help="whether only signed connections are served")
    default_provider: str | None = option(None, help="who answers a model's name without PROVIDER/ in front")

    def __post_init__(self) -> None:
        if self.ring_kib & (self.ring_kib - 1):
            raise ValueError(f"ring_kib must be a power of two, not {self.ring_kib}")
        if self.require_signing and self.key_file is None:
            raise ValueError("require_signing needs key_file: by whose keys?")
