"""Where a team's daemons count their quotas together, from `limits.store`.

    limits:
      store: env:RXLAPCE_LIMITS_STORE

An address with a password stands in a variable, or in a file of its own (`file:`); one without may stand in this one.
"""

from typing import Final

from rxlapce.config.document import Place
from rxlapce.config.keys import Keys, Wanted, parsed
from rxlapce.operators.store_address import StoreAddress

EXAMPLE: Final = "env:RXLAPCE_LIMITS_STORE"
_ADDRESS: Final = Wanted(
    what="the address", remedy="take `store` out", schemes=("env", "file"), example=EXAMPLE, text=True
)


def read_store(at: Place, keys: Keys) -> StoreAddress | None:
    """The address at `at`, or where it refers to; None for null, and where `keys` only reads references.

    Raises `ConfigError`, which never shows what was read: it may hold a password.
    """
    if at.is_null():
        return None
    said = at.text() if at.is_text() else ""
    found = parsed(said, _ADDRESS)
    if found is None:
        address = _address(at, said, after=f", a reference to one such as {EXAMPLE}, or null")
        if address.user or address.password:
            raise at.error(
                "a password does not belong into the file: put the address into a variable, and refer to it, "
                f"such as store: {EXAMPLE}"
            )
        return address
    value = keys.secret(at, _ADDRESS).reveal().strip()
    if not keys.resolve:
        return None
    scheme, where = found
    return _address(at, value, before=f"in {where if scheme == 'env' else 'the file'}, ")


def _address(at: Place, said: str, *, before: str = "", after: str = "") -> StoreAddress:
    try:
        return StoreAddress.parse(said)
    except ValueError as error:
        raise at.error(f"{before}{error}{after}") from None
