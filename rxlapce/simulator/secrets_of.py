"""What of somebody else's request must be in no file: by what it proves who asks."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

from rxlapce.dialects.json_values import is_object, loads
from rxlapce.secret import Secret

#: Words in the name of a header, a member of the query or of the body, whose value is secret.
_NAMES: Final = re.compile(
    r"auth|api.?key|(^|[-_])key|^key$|token$|secret|cookie|signature|^sig$|credential|passw", re.IGNORECASE
)
#: RFC 9110 section 11.4: `Bearer abc`, `Basic abc`.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*\s+(\S.*)")
#: The parts of AWS's `Authorization` that tell who signed.
_SIGNED: Final = re.compile(r"(?:Signature|Credential)=([^,/\s]+)")


def secrets_of(
    headers: Iterable[tuple[str, str]], query: Iterable[tuple[str, str]], body: bytes = b""
) -> tuple[Secret, ...]:
    """Each secret once: keys and tokens with and without their scheme, cookies one by one, passwords, signatures.

    `query` has decoded values; what they look like in a URL is secret as well. Of the `body` the members of a JSON
    object itself are looked at.
    """
    value = loads(body)
    members = value.items() if is_object(value) else ()
    found: list[str] = []
    for name, said in headers:
        if _NAMES.search(name):
            found += _of_header(name.lower(), said)
    for name, said in (*query, *((name, said) for name, said in members if isinstance(said, str))):
        if _NAMES.search(name):
            found += (said, quote(said, safe=""))
    return tuple(Secret(text) for text in dict.fromkeys(found) if text)


def _of_header(name: str, said: str) -> Iterator[str]:
    yield said
    if name == "cookie":
        yield from (pair.partition("=")[2].strip().strip('"') for pair in said.split(";"))
        return
    yield from _SIGNED.findall(said)
    scheme = _SCHEME.fullmatch(said)
    if scheme is None:
        return
    yield scheme[1]
    if said.lower().startswith("basic"):
        try:
            both = base64.b64decode(scheme[1]).decode()
        except (binascii.Error, UnicodeError):
            return
        yield both
        yield both.partition(":")[2]
