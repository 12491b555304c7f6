"""Where a team's daemons count their quotas together, from `limits.store`.

    limits:
      store: env:RXLAPCE_LIMITS_STORE

An address with a password stands in a variable, as keys do; one without may stand in the file.
"""

import re
from collections.abc import Mapping
from typing import Final

from rxlapce.config.document import Place
from rxlapce.operators.store_address import StoreAddress

EXAMPLE: Final = "env:RXLAPCE_LIMITS_STORE"
_VARIABLE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


def read_store(at: Place, environ: Mapping[str, str] | None) -> StoreAddress | None:
    """The address at `at`, or in the variable that it refers to; None for null, and where variables are not read.

    Raises `ConfigError`, which never shows what was read: it may hold a password.
    """
    if at.is_null():
        return None
    said = at.text() if at.is_text() else ""
    found = _VARIABLE.fullmatch(said)
    if found is None:
        address = _address(at, said, after=f", a reference to one such as {EXAMPLE}, or null")
        if address.user or address.password:
            raise at.error(
                "a password does not belong into the file: put the address into a variable, and refer to it, "
                f"such as store: {EXAMPLE}"
            )
        return address
    if environ is None:
        return None
    value = environ.get(found[1], "").strip()
    if not value:
        raise at.error(f"the environment has no {found[1]}: set it, or take `store` out")
    return _address(at, value, before=f"in {found[1]}, ")


def _address(at: Place, said: str, *, before: str = "", after: str = "") -> StoreAddress:
    try:
        return StoreAddress.parse(said)
    except ValueError as error:
        raise at.error(f"{before}{error}{after}") from None
