"""What the tests of the vault share: vaults that open fast, and a keyring in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rxlapce.secret import Secret
from rxlapce.testing.vaults import FAST, MemoryKeyring
from rxlapce.vault import OsKeyring, Vault

PASSPHRASE = "correct horse battery"
MakeVault = Callable[..., Vault]


@pytest.fixture
def memory() -> MemoryKeyring:
    """What the keyring has."""
    return MemoryKeyring()


@pytest.fixture
def vault_at(tmp_path: Path, memory: MemoryKeyring) -> MakeVault:
    """Makes what opens the vault of the test, by a passphrase or by the keyring in memory."""

    def vault(passphrase: str = PASSPHRASE, name: str = "vault.json") -> Vault:
        return Vault(
            tmp_path / name,
            lambda: Secret(passphrase),
            keyring=OsKeyring(lambda: memory),
            cost=FAST,
            now=lambda: "2026-11-23T04:54:09Z",
        )

    return vault
