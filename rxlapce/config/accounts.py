"""A provider's key or keys, from the members `key` and `keys` of its mapping: each of several is an account of its own.

    keys:
      - {name: work, key: "vault:openai/work", requests: 500, tokens: 200000}
      - {name: spare, key: "env:OPENAI_API_KEY_2"}

Beside `name` and `key` stand the limits of the key, as those of `limits` (`routing.settings.Quota`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from rxlapce.config.document import Place, is_told, together
from rxlapce.config.keys import Keys
from rxlapce.config.options import gathered, laid_over, options_of
from rxlapce.providers.provider import Provider
from rxlapce.routing.settings import Quota
from rxlapce.secret import Secret

MEMBERS: Final = ("key", "keys")
MAX_KEYS: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A key by its name, with its limits; the name is "" and the limits None for one that stands alone in `key`."""

    name: str = ""
    key: Secret
    quota: Quota | None = None


def read_accounts(members: Mapping[str, Place], keys: Keys) -> tuple[Account, ...]:
    """What `key` or `keys` say; nothing, if neither is there. Raises `ConfigError`, which shows no key."""
    if "key" in members and "keys" in members:
        raise members["keys"].error("key stands here too: say one of the two")
    if "key" in members:
        return (Account(key=keys.secret(members["key"])),)
    if "keys" not in members:
        return ()
    at, expected = members["keys"], f"a list of 1 to {MAX_KEYS} keys, each {{name: NAME, key: REFERENCE}}"
    items = at.items(expected) if at.is_list() else []
    if not 1 <= len(items) <= MAX_KEYS:
        raise at.wrong(expected, got=f"{len(items)} keys" if at.is_list() else "something else")
    accounts = tuple(gathered({number: partial(_account, item, keys) for number, item in enumerate(items)}).values())
    names = [account.name for account in accounts]
    for number, item in enumerate(items):
        if names[number] in names[:number]:
            raise item.members()["name"].error(f"{names[number]!r} is the name of another key of this provider")
    return accounts


def _account(at: Place, keys: Keys) -> Account:
    if not at.is_mapping():  # whatever stands here may be the key itself
        raise at.wrong("a mapping {name: NAME, key: REFERENCE}", got="something else")
    before = len(at.gathered)
    members = at.members(("name", "key", *options_of(Quota)))
    for name in ("name", "key"):
        if name not in members:
            if is_told(name, at.gathered[before:]):
                raise together(at.gathered[before:])  # again: it is told once
            raise at.error(f"{name} is missing, such as {{name: work, key: env:OPENAI_API_KEY}}")
    reading: dict[str, Callable[[], Any]] = {
        "name": partial(_name, members["name"]),
        "key": partial(keys.secret, members["key"]),
        "quota": partial(laid_over, Quota(), members, at),
    }
    values = gathered(reading)
    quota = values["quota"]
    return Account(name=values["name"], key=values["key"], quota=None if quota == Quota() else quota)


def _name(at: Place) -> str:
    name = at.text("a name for the key")
    if not _NAME.fullmatch(name):
        # Not shown: name and key may have changed places.
        raise at.wrong("a name of letters, digits and . _ @ -, at most 64 of them", got="something else")
    return name


def provider_with(accounts: tuple[Account, ...], build: Callable[[Secret | None], Provider]) -> Provider:
    """What `build` makes of the first key, and of each of several as its `accounts`."""
    if not accounts:
        return build(None)
    made = tuple(replace(build(account.key), key=account.name) for account in accounts)
    return replace(made[0], accounts=made if len(made) > 1 else ())


def quotas_of(provider: str, accounts: tuple[Account, ...]) -> dict[tuple[str, str], Quota]:
    """The limits of those accounts that have their own, by provider and the key's name."""
    return {(provider, account.name): account.quota for account in accounts if account.quota is not None}
