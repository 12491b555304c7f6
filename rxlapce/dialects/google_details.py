"""What Google's `error.details` add to a failure: how long to wait, and whether waiting helps at all.

Source: google.rpc.error_details (RetryInfo, QuotaFailure, ErrorInfo), as the Gemini API and Vertex AI fill them.
"""

import math
import re
from typing import Any, Final

from rxlapce.dialects.json_values import is_array, is_object, text_of
from rxlapce.errors import DEFAULT_RETRY, ErrorKind, ProviderError

#: A quota of a day is not waited for. A limit of 0 is no quota at all: the model is not in the account's plan.
_SPENT: Final = re.compile(r"PerDay|per[ _]day|\blimit: 0\b", re.IGNORECASE)
_GOOGLES: Final = "type.googleapis.com/"
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_KEY_REASONS: Final = frozenset(
    {"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED"}
)


def add_details(error: ProviderError, value: Any) -> ProviderError:
    """`error` with what `value`, the decoded body or event, says in its details.

    A rate limit whose quota is a day's, or 0, becomes `quota`, for which no time to wait helps, although Google names
    one; other rate limits, and overload, get RetryInfo's, where no header says it. A key that is not valid is a 400 at
    Google.
    """
    details = _details(value)
    violations = [member for detail in details for member in _array(detail.get("violations")) if is_object(member)]
    said = (text_of(member.get(name)) or "" for member in violations for name in ("quotaId", "description"))
    told = [error.message, *said]
    empty = any(member.get("quotaValue") in ("0", 0) for member in violations)
    if error.kind is ErrorKind.RATE_LIMIT:
        if empty or any(_SPENT.search(text) for text in told):
            error.kind, error.retry, error.retry_after_s = ErrorKind.QUOTA, DEFAULT_RETRY[ErrorKind.QUOTA], None
        else:
            _add_delay(error, details)
    elif error.kind is ErrorKind.OVERLOADED:
        _add_delay(error, details)
    elif error.kind is ErrorKind.BAD_REQUEST and any(
        text_of(detail.get("reason")) in _KEY_REASONS for detail in details
    ):
        error.kind, error.retry = ErrorKind.AUTH, DEFAULT_RETRY[ErrorKind.AUTH]
    return error


def _add_delay(error: ProviderError, details: list[dict[str, Any]]) -> None:
    """RetryInfo's time, where no header said one."""
    if error.retry_after_s is None:
        delays = (_seconds(detail.get("retryDelay")) for detail in details)
        error.retry_after_s = next((delay for delay in delays if delay is not None), None)


def is_googles(value: Any) -> bool:
    """Whether the decoded body is an error with details of Google's, as other vendors' models on Vertex AI have too."""
    return any(str(detail.get("@type", "")).startswith(_GOOGLES) for detail in _details(value))


def _details(value: Any) -> list[dict[str, Any]]:
    for item in value if is_array(value) else [value]:
        inner = item.get("error") if is_object(item) else None
        if is_object(inner):
            return [detail for detail in _array(inner.get("details")) if is_object(detail)]
    return []


def _array(value: Any) -> list[Any]:
    return value if is_array(value) else []


def _seconds(duration: Any) -> float | None:
    """A protobuf Duration in its JSON form, such as "46s" or "0.5s"."""
    match = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    seconds = float(match.group(1)) if match else math.nan
    return seconds if math.isfinite(seconds) else None
