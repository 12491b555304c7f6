"""How a request proves who asks: each way gives headers, and names the secrets that it puts there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rxlapce.secret import Secret


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A request as it will be sent, for the ways to authenticate that sign it: `url` is percent-encoded already."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Auth(Protocol):
    """A way to authenticate. `secrets` are scrubbed out of whatever the provider says back."""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The values that must never be seen."""
        ...

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """The headers to add to `request`; may wait for a credential to be refreshed. Raises `ProviderError` (auth)."""
        ...

    def refused(self) -> None:
        """Told that the provider did not take the headers: what can be fetched anew, is for the next request."""
        ...


@dataclass(frozen=True, slots=True)
class NoAuth:
    """Nothing is proved: servers on this machine."""

    secrets: tuple[Secret, ...] = ()

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """No headers."""
        return {}

    def refused(self) -> None:
        """There are none to change."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer KEY` (RFC 6750 section 2.1)."""

    key: Secret

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The key."""
        return (self.key,)

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """The header with the key."""
        return {"Authorization": f"Bearer {self.key.reveal()}"}

    def refused(self) -> None:
        """The key stays the same."""


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """The key in a header of the vendor's own, such as Anthropic's `x-api-key`."""

    name: str
    key: Secret

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The key."""
        return (self.key,)

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """The header with the key."""
        return {self.name: self.key.reveal()}

    def refused(self) -> None:
        """The key stays the same."""
