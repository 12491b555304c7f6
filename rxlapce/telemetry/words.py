"""What of an error may stand in a log: its facts always, its words only where they are rxlapce's own."""

import re
from typing import Any, Final

from rxlapce.errors import BadPayload, ErrorKind, ProviderError

#: Errors of these kinds that no provider's body told of say how the connection, a limit or a key was, and quote nobody.
#: Left out is what may quote a request or an answer: bad_request, protocol and internal errors name what they met.
_OWN_KINDS: Final = frozenset(
    {
        ErrorKind.AUTH,
        ErrorKind.RATE_LIMIT,
        ErrorKind.OVERLOADED,
        ErrorKind.TIMEOUT,
        ErrorKind.NETWORK,
        ErrorKind.TRUNCATED,
        ErrorKind.CANCELLED,
    }
)
MAX_WORDS: Final = 500
#: Where in a payload something is wrong, as msgspec says it at the end; what is before quotes the payload.
_PATH: Final = re.compile(r" - at `(\$[\w.\[\]]*)`$")
#: The ids that providers give to requests. It comes in a header, which could say anything.
_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
MAX_NAME_CHARS: Final = 128


def facts_of(error: Exception, *, content: bool = False) -> dict[str, Any]:
    """What a log line tells of `error`: `kind`, `phase`, `status`, `message`, `cause`, and the provider's own id.

    A provider may quote the prompt in its error, and so may an exception of Python's: such words are left out, unless
    `content` is on. `cause` is the class of what was behind it. At most `MAX_WORDS` characters.
    """
    if not isinstance(error, ProviderError):
        facts: dict[str, Any] = {"kind": ErrorKind.INTERNAL.value, "cause": type(error).__name__}
        return {**facts, "message": str(error)[:MAX_WORDS]} if content else facts
    facts = {"kind": error.kind.value, "phase": error.phase.value}
    if error.status is not None:
        facts["status"] = error.status
    if error.request_id is not None and _ID.fullmatch(error.request_id):
        facts["provider_request_id"] = error.request_id
    if content or (error.raw is None and error.kind in _OWN_KINDS):
        facts["message"] = error.message[:MAX_WORDS]
    if error.__cause__ is not None:
        facts["cause"] = type(error.__cause__).__name__
    return facts


def breach(error: Exception, *, content: bool = False) -> dict[str, Any]:
    """What a log line tells of how a client broke the protocol: `error`, and `message`, or where in the payload.

    The words about a payload quote what stands there, which may be a prompt.
    """
    facts: dict[str, Any] = {"error": type(error).__name__}
    if content or not isinstance(error, BadPayload):
        facts["message"] = str(error)[:MAX_WORDS]
    elif place := _PATH.search(str(error)):
        facts["at"] = place[1][:MAX_NAME_CHARS]
    return facts


def name(said: str) -> str:
    """A name that somebody outside gave, at a length that a line has room for."""
    return said if len(said) <= MAX_NAME_CHARS else said[: MAX_NAME_CHARS - 1] + "…"
