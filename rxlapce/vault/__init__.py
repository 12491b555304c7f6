"""Keys at rest: a file of sealed entries, the keyring of the desktop, and files that nobody else can read.

`Vault` is the file and what opens it; `OpenVault` what is in it; `format` the file's bytes; `sealing` the ciphers.
Nothing of `cryptography` and `keyring` is loaded before it is needed.
"""

from rxlapce.vault.opened import OpenVault
from rxlapce.vault.os_keyring import OsKeyring
from rxlapce.vault.sealing import Cost
from rxlapce.vault.vault import IN_KEYRING, InKeyring, Listed, Vault

__all__ = ["IN_KEYRING", "Cost", "InKeyring", "Listed", "OpenVault", "OsKeyring", "Vault"]
