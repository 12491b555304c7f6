"""What Bedrock's failures mean: the exceptions that AWS names in a header, a body's `__type`, or a stream's message.

Source: the Amazon Bedrock API reference, "Errors" of Converse, ConverseStream and InvokeModel, and "Common errors".
Its own clients do not retry 408 and 424, which the reference calls transient: our table does.
"""

from collections.abc import Mapping
from typing import Any, Final

from rxlapce.dialects import failures
from rxlapce.dialects.json_values import is_object, loads, text_of
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry

_Verdict = tuple[ErrorKind, Retry | None]

#: The exception's name in lower case, without "exception" or "error" at its end -> what it is. `validation` is judged
#: by its message, since a prompt that is too long is one too.
VERDICTS: Final[dict[str, _Verdict]] = {
    "throttling": (ErrorKind.RATE_LIMIT, None),
    "toomanyrequests": (ErrorKind.RATE_LIMIT, None),
    "modelnotready": (ErrorKind.OVERLOADED, None),
    "serviceunavailable": (ErrorKind.OVERLOADED, None),
    "internalserver": (ErrorKind.OVERLOADED, None),
    "internalfailure": (ErrorKind.OVERLOADED, None),
    "modelstream": (ErrorKind.OVERLOADED, None),
    "model": (ErrorKind.OVERLOADED, None),
    "modeltimeout": (ErrorKind.TIMEOUT, Retry.SAME),
    "servicequotaexceeded": (ErrorKind.QUOTA, Retry.OTHER_KEY),
    "accessdenied": (ErrorKind.AUTH, None),
    "unrecognizedclient": (ErrorKind.AUTH, None),
    "expiredtoken": (ErrorKind.AUTH, None),
    "invalidsignature": (ErrorKind.AUTH, None),
    "incompletesignature": (ErrorKind.AUTH, None),
    "missingauthenticationtoken": (ErrorKind.AUTH, None),
    "notauthorized": (ErrorKind.AUTH, None),
    "optinrequired": (ErrorKind.AUTH, None),
    "resourcenotfound": (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
}
#: Named after a failure of the model itself: its own status tells whether to ask again.
_OF_THE_MODEL: Final = frozenset({"model", "modelstream"})


def from_event(event: str, data: str) -> ProviderError:
    """The error that a stream's message of type exception or error means: `event` is `exception/NAME`, `error/CODE`."""
    name = event.partition("/")[2]
    body = _members(loads(data))
    kind, retry = _judge(name, body, None)
    return ProviderError(
        kind, failures.shorten(_message(body) or f"the stream ended in {name}"), retry=retry, raw=data or event
    )


def from_response(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ProviderError:
    """The error that an HTTP response means. `headers` has lower-case names; `now` is wall-clock seconds since 1970.

    What has no exception's name of AWS's (a proxy in between) is read as every other provider's error is.
    """
    error = failures.from_response(status, headers, body, now=now)
    error.request_id = headers.get("x-amzn-requestid") or error.request_id
    members = _members(loads(body))
    name = headers.get("x-amzn-errortype") or text_of(members.get("__type"))
    if name is None:
        return error
    kind, retry = _judge(name, members, status)
    return ProviderError(
        kind,
        failures.shorten(_message(members) or error.message),
        retry=retry,
        phase=Phase.HEADERS,
        retry_after_s=error.retry_after_s,
        status=status,
        request_id=error.request_id,
        raw=error.raw,
    )


def _judge(name: str, body: dict[str, Any], status: int | None) -> _Verdict:
    """`name` can be "com.amazon.coral.service#AccessDeniedException" or "ThrottlingException:http://..."."""
    short = name.rpartition("#")[2].partition(":")[0].lower().removesuffix("exception").removesuffix("error")
    original = body.get("originalStatusCode")
    if short in _OF_THE_MODEL and isinstance(original, int) and original < 500:
        return failures.judge(failures.Problem(_message(body) or "", status=original), status)
    if short in VERDICTS:
        return VERDICTS[short]
    return failures.judge(failures.Problem(_message(body) or ""), 400 if short == "validation" else status)


def _members(value: Any) -> dict[str, Any]:
    return value if is_object(value) else {}


def _message(body: dict[str, Any]) -> str | None:
    """Bedrock says `message`, the gateways in front of it `Message`; a model's own words come beside it."""
    said = text_of(body.get("message")) or text_of(body.get("Message"))
    original = text_of(body.get("originalMessage"))
    return f"{said} ({original})" if said and original and original not in said else said or original
