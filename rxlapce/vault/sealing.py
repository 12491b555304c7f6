"""What a vault is closed with: Argon2id for the passphrase, AES-256-GCM for keys and entries, a MAC for the whole.

`cryptography` is imported on first use: a start that opens no vault does not pay its 70 ms.

Source: RFC 9106 (Argon2) section 4, whose second choice the default cost is; NIST SP 800-38D (GCM) section 8.2.2 for
the random nonces: at 2^32 writes under one key the odds of a doubled one would be 2^-32, and a vault is written by
hand. RFC 5869 (HKDF); RFC 2104 (HMAC).
"""

import hmac
import json
import os
import unicodedata
from dataclasses import dataclass
from typing import Final

from rxlapce.errors import ConfigError
from rxlapce.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SALT_BYTES: Final = 16
#: What a file may ask for at most: a GiB, and passes over 4 GiB in all, some half a minute.
MAX_MEMORY_KIB: Final = 1 << 20
MAX_PASSES: Final = 64
MAX_LANES: Final = 16
MAX_WORK_KIB: Final = 1 << 22


class DoesNotOpen(Exception):
    """The key is another, or what was sealed or bound to it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it costs to try one passphrase by Argon2id: `memory_kib` KiB filled `passes` times, in `lanes` at once.

    Raises `ValueError` for what Argon2id does not have (8 KiB a lane at least), and for more than a file may ask for.
    """

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.lanes <= MAX_LANES:
            raise ValueError(f"expected 1 to {MAX_LANES} lanes, got {self.lanes}")
        if not 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB:
            raise ValueError(f"expected {8 * self.lanes} to {MAX_MEMORY_KIB} KiB of memory, got {self.memory_kib}")
        if not 1 <= self.passes <= MAX_PASSES or self.memory_kib * self.passes > MAX_WORK_KIB:
            raise ValueError(f"expected 1 to {MAX_PASSES} passes over {MAX_WORK_KIB} KiB in all, got {self.passes}")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was sealed, with its tag behind it, and the nonce that it was sealed with."""

    nonce: bytes
    data: bytes


def derived(passphrase: Secret, salt: bytes, cost: Cost) -> bytes:
    """The key that the passphrase gives: 32 bytes. Takes a quarter of a second and 64 MiB at the default cost.

    The passphrase is taken in Unicode's form C, so that a keyboard which composes its letters otherwise gives the same.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    text = unicodedata.normalize("NFC", passphrase.reveal()).encode("utf-8", "surrogatepass")
    try:
        kdf = Argon2id(
            salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
        )
        return kdf.derive(text)
    except UnsupportedAlgorithm:
        raise ConfigError("this build of `cryptography` has no Argon2id: its OpenSSL is older than 3.2") from None
    except MemoryError:
        raise ConfigError(f"there are no {cost.memory_kib // 1024} MiB of memory to open the vault with") from None


def seal(key: bytes, plain: bytes, *, bound: bytes) -> Sealed:
    """`plain`, to be opened with `key` and the same `bound` alone; under a new random nonce each time."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return Sealed(nonce, AESGCM(key).encrypt(nonce, plain, bound))


def unseal(key: bytes, sealed: Sealed, *, bound: bytes) -> bytes:
    """What was sealed. Raises `DoesNotOpen`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.data, bound)
    except InvalidTag:
        raise DoesNotOpen from None


def subkey(key: bytes, purpose: str) -> bytes:
    """A key of its own for `purpose`: what is known of one says nothing of another."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"rxlapce vault 1 {purpose}".encode()).derive(key)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def same(left: bytes, right: bytes) -> bool:
    """Whether they are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(left, right)


def bound_to(*parts: str | int) -> bytes:
    """`parts` as bytes of which no other parts make the same."""
    return json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode()
