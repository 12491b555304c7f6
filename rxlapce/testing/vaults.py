"""Vaults that open at once, and a keyring in memory."""

from typing import Final

from rxlapce.vault import Cost

#: The least that Argon2id takes: a tenth of a millisecond.
FAST: Final = Cost(memory_kib=8, passes=1, lanes=1)


class MemoryKeyring:
    """A keyring in memory, which passes for the Secret Service's."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept."""
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        del self.kept[service, username]


# What is looked at is where a class says that it comes from.
MemoryKeyring.__module__, MemoryKeyring.__qualname__ = "keyring.backends.SecretService", "Keyring"
