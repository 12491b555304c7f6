"""A Redis in which several daemons count together: its connections, and the ledgers over them."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Self

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rxlapce.operators.ledger import Limit
from rxlapce.operators.shared_ledger import LimitsLedger
from rxlapce.operators.store_address import StoreAddress
from rxlapce.secret import scrub

#: The most questions at once: each is one script of some 50 us, so that more would only wait on the other side.
MAX_CONNECTIONS: Final = 16


class SharedStore:
    """Makes `LimitsLedger`s over one Redis, and owns its connections; a context manager, on one loop.

    Nothing is opened before the first question, and a store that is not there yet, or is away for a while, is asked
    anew by each. `timeout_s` (seconds above 0) bounds every question, a connection's opening and the wait for one of
    `MAX_CONNECTIONS` included. No question is repeated: one that was lost on its way may have been counted.

    `on_change` is told when the store begins to fail, with what (the driver's words, without the password), and None
    when it answers again: once each, not for every request.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        timeout_s: float = 2.0,
        prefix: str = "rxlapce",
        on_change: Callable[[str | None], None] | None = None,
    ) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.prefix = prefix
        self.on_change = on_change
        self.failing = False
        self._pool = _pool(address, timeout_s)
        # `limits` declares options as plain values and documents a pool among them. It gets no address with a password.
        options: dict[str, Any] = {"connection_pool": self._pool}
        self._storage = RedisStorage("async+redis://", implementation="redispy", **options)
        self._ledgers: list[LimitsLedger] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def ledger(self, limits: tuple[Limit, ...]) -> LimitsLedger:
        """A ledger of these limits, which all that use this Redis with the same `prefix` share."""
        made = LimitsLedger(
            *limits, storage=self._storage, timeout_s=self.timeout_s, prefix=self.prefix, on_outcome=self._note
        )
        self._ledgers.append(made)
        return made

    async def check(self) -> bool:
        """Whether the store answers now; `on_change` has been told why not."""
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._storage.get(f"{{{self.prefix}/check}}")
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, the store does not answer
            self._note(error)
            return False
        self._note(None)
        return True

    async def aclose(self) -> None:
        """Let what streams have used beyond their estimates be paid, for `timeout_s` at most, then disconnect."""
        for ledger in self._ledgers:
            await ledger.settled()
            await ledger.aclose()
        await self._pool.aclose()

    def _note(self, error: Exception | None) -> None:
        if self.failing is (error is not None):
            return
        self.failing = error is not None
        if self.on_change is not None:
            self.on_change(self._words(error) if error is not None else None)

    def _words(self, error: Exception) -> str:
        said = str(error) or f"no answer within {self.timeout_s:g} s"
        return scrub(f"{type(error).__name__}: {said}", [self.address.password] if self.address.password else [])


def _pool(address: StoreAddress, timeout_s: float) -> BlockingConnectionPool:
    where: dict[str, Any] = {"host": address.host, "port": address.port}  # as redis-py has them
    kind: type[Connection | UnixDomainSocketConnection] = SSLConnection if address.tls else Connection
    if address.path:
        where, kind = {"path": address.path}, UnixDomainSocketConnection
    return BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_s,
        connection_class=kind,
        db=address.db,
        username=address.user or None,
        password=address.password.reveal() if address.password else None,
        retry=Retry(NoBackoff(), 0),
        **where,
    )
