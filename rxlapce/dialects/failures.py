"""What a provider's failure means: the kind, where a retry makes sense, how long to wait, and a line for a person.

Shared by all JSON dialects. A failure comes as an HTTP response (`from_response`) or inside a stream or a 200 body
(`from_value`); both are read by the same three steps: find the words (`find_problem`), look them up, fall back to the
status. Shapes that occur: `{"error": {...}}`, `{"error": "..."}`, `{"code": "...", "error": "..."}` (xAI),
`{"object": "error", "message": ...}` (vLLM, Mistral), `{"type": "error", ...}` (Anthropic), `{"detail": ...}`
(FastAPI servers), `{"errors": [...]}`, any of them in a list of one (Google), HTML of a proxy, nothing at all.
"""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from rxlapce.dialects.google_details import add_details, is_googles
from rxlapce.dialects.json_values import dumps, is_array, is_object, loads, text_of
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry

MAX_MESSAGE_CHARS: Final = 400
NO_MESSAGE: Final = "the provider gave no message"
#: An HTML title that does not stand within so many characters is none.
MAX_HEAD_CHARS: Final = 4096
#: Gateways behind gateways, each with the cause inside its own error. What is deeper is not looked for.
MAX_CAUSES: Final = 4

_Verdict = tuple[ErrorKind, Retry | None]

#: Words (of `code`, `type`, `status`, lower case) that say what happened whatever the HTTP status is.
WORDS: Final[dict[str, _Verdict]] = {
    "insufficient_quota": (ErrorKind.QUOTA, None),
    "enforced_spend_limit_reached": (ErrorKind.QUOTA, None),
    "credit_balance_exhausted": (ErrorKind.BILLING, None),
    "billing_error": (ErrorKind.BILLING, None),
    "billing_not_active": (ErrorKind.BILLING, None),
    "billing_hard_limit_reached": (ErrorKind.BILLING, None),
    "insufficient_credits": (ErrorKind.BILLING, None),
    "rate_limit_exceeded": (ErrorKind.RATE_LIMIT, None),
    "rate_limit_error": (ErrorKind.RATE_LIMIT, None),
    "ratelimitreached": (ErrorKind.RATE_LIMIT, None),
    "resource_exhausted": (ErrorKind.RATE_LIMIT, None),
    "slow_down": (ErrorKind.RATE_LIMIT, None),
    "too_many_requests": (ErrorKind.RATE_LIMIT, None),
    "context_length_exceeded": (ErrorKind.CONTEXT_LENGTH, None),
    "exceed_context_size_error": (ErrorKind.CONTEXT_LENGTH, None),
    "request_too_large": (ErrorKind.CONTEXT_LENGTH, None),
    "content_filter": (ErrorKind.CONTENT_FILTER, None),
    "content_policy_violation": (ErrorKind.CONTENT_FILTER, None),
    "responsibleaipolicyviolation": (ErrorKind.CONTENT_FILTER, None),
    "invalid_api_key": (ErrorKind.AUTH, None),
    "authentication_error": (ErrorKind.AUTH, None),
    "permission_error": (ErrorKind.AUTH, None),
    "model_not_found": (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    "deploymentnotfound": (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    "not_found_error": (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    "overloaded_error": (ErrorKind.OVERLOADED, None),
    "server_is_overloaded": (ErrorKind.OVERLOADED, None),
    "provider_overloaded": (ErrorKind.OVERLOADED, None),
    "engine_overloaded": (ErrorKind.OVERLOADED, None),
    "unavailable": (ErrorKind.OVERLOADED, None),
    "timeout_error": (ErrorKind.TIMEOUT, Retry.SAME),
}

#: Words too general to win over the status or the message, but better than nothing.
WEAK_WORDS: Final[dict[str, _Verdict]] = {
    "api_error": (ErrorKind.OVERLOADED, None),
    "server_error": (ErrorKind.OVERLOADED, None),
    "internal_server_error": (ErrorKind.OVERLOADED, None),
    "service_unavailable": (ErrorKind.OVERLOADED, None),
    "invalid_request_error": (ErrorKind.BAD_REQUEST, None),
    "badrequesterror": (ErrorKind.BAD_REQUEST, None),
}

#: What the message says, for refused requests (4xx) whose words are general. Only phrases that providers really send.
PHRASES: Final[tuple[tuple[re.Pattern[str], _Verdict], ...]] = (
    (
        re.compile(
            r"maximum context length|prompt is too long|context window|context size|input is too long"
            r"|exceeds? the context|too many input tokens|maximum prompt length|maximum number of tokens allowed",
            re.IGNORECASE,
        ),
        (ErrorKind.CONTEXT_LENGTH, None),
    ),
    (
        re.compile(
            r"credit balance|insufficient (?:credits|balance|funds)|requires more credits"
            r"|(?:doesn't|does not) have any credits|used all available credits",  # xAI, with status 403 and 429
            re.IGNORECASE,
        ),
        (ErrorKind.BILLING, None),
    ),
    (
        re.compile(
            r"content (?:management )?policy"
            r"|content filtering policy|violates usage guidelines"  # Anthropic with 400, xAI with 403
            r"|flagged (?:by|for|as)|requires moderation",
            re.IGNORECASE,
        ),
        (ErrorKind.CONTENT_FILTER, None),
    ),
    (re.compile(r"(?:invalid|incorrect) api key", re.IGNORECASE), (ErrorKind.AUTH, None)),
)

STATUSES: Final[dict[int, _Verdict]] = {
    401: (ErrorKind.AUTH, None),
    402: (ErrorKind.BILLING, None),
    403: (ErrorKind.AUTH, None),
    404: (ErrorKind.BAD_REQUEST, Retry.OTHER_PROVIDER),
    408: (ErrorKind.TIMEOUT, Retry.SAME),
    409: (ErrorKind.OVERLOADED, None),  # a lock at the provider: both official SDKs try again
    413: (ErrorKind.CONTEXT_LENGTH, None),
    424: (ErrorKind.OVERLOADED, None),
    425: (ErrorKind.OVERLOADED, None),
    429: (ErrorKind.RATE_LIMIT, None),
    498: (ErrorKind.OVERLOADED, None),  # Groq: flex capacity exceeded
    499: (ErrorKind.OVERLOADED, None),  # Google: cancelled at its own side, since we still listen
    504: (ErrorKind.TIMEOUT, Retry.SAME),
    522: (ErrorKind.TIMEOUT, Retry.SAME),
    524: (ErrorKind.TIMEOUT, Retry.SAME),
}

#: Kinds for which the same key never helps, whatever `x-should-retry` says.
_KEY_IS_SPENT: Final = frozenset({ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA})

REQUEST_ID_HEADERS: Final = (
    "request-id",
    "x-request-id",
    "apim-request-id",
    "x-ms-request-id",
    "x-generation-id",
    "x-amzn-requestid",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error object says of itself. `words` are lower case, the most telling first; `status` is in the body."""

    message: str
    words: tuple[str, ...] = ()
    status: int | None = None
    request_id: str | None = None


# -- finding --------------------------------------------------------------------------------------------------------


def find_problem(value: Any, *, causes: int = MAX_CAUSES) -> Problem | None:
    """The problem that a decoded body or event tells of; None if `value` has the shape of none.

    Of an array the first element that tells of one is taken; arrays in arrays are nobody's way of telling. `causes`
    bounds how many errors inside of one another are read.
    """
    if is_array(value):
        items = (item for item in value if is_object(item))
        return next((found for item in items if (found := find_problem(item, causes=causes)) is not None), None)
    if not is_object(value):
        return None
    inner = value.get("error")
    if not inner:
        inner = value.get("errors") or value.get("detail")
        if not inner and (value.get("message") or value.get("object") == "error" or value.get("type") == "error"):
            inner = value
    if not inner:
        return None
    if is_array(inner):
        inner = inner[0]
    if is_object(inner):
        return _read_object(inner, causes, request_id=text_of(value.get("request_id")))
    return _from_members(value, message=str(inner) if not is_array(inner) else NO_MESSAGE)


def _read_object(error: dict[str, Any], causes: int, *, request_id: str | None) -> Problem:
    """An error object, with the cause that a gateway put inside it."""
    found = _from_members(error, message=_first_text(error, "message", "msg", "detail", "type", "code"))
    metadata = error.get("metadata")
    if is_object(metadata):
        found = _with_cause(found, metadata, causes)
    return Problem(found.message, found.words, found.status, request_id or found.request_id)


def _with_cause(problem: Problem, metadata: dict[str, Any], causes: int) -> Problem:
    """OpenRouter says "Provider returned error" and keeps what that provider said in `metadata.raw`."""
    raw, who = metadata.get("raw"), text_of(metadata.get("provider_name"))
    cause: Problem | None = None
    if isinstance(raw, str) and raw:
        cause = (find_problem(loads(raw), causes=causes - 1) if causes else None) or Problem(raw)
    elif is_object(raw) and causes:
        cause = find_problem(raw, causes=causes - 1)
    words = (*problem.words, *(cause.words if cause else ()))
    if metadata.get("reasons") and problem.status == HTTPStatus.FORBIDDEN:  # moderation, not a matter of the key
        words = ("content_filter", *words)
    told = ": ".join(part for part in (who, cause.message if cause else None) if part)
    return Problem(f"{problem.message} ({told})" if told else problem.message, words, problem.status)


def _from_members(members: dict[str, Any], *, message: str) -> Problem:
    words: list[str] = []
    status: int | None = None
    for name in ("code", "type", "status", "status_code"):
        said = members.get(name)
        if isinstance(said, str) and len(said) == 3 and said.isascii() and said.isdecimal():
            said = int(said)
        if isinstance(said, str) and said and said != "error":
            words.append(said.lower())
        elif isinstance(said, int) and 400 <= said <= 599:
            status = said
    for name, key in (("details", "error_code"), ("innererror", "code")):
        nested = members.get(name)
        if is_object(nested) and isinstance(nested.get(key), str):
            words.insert(0, nested[key].lower())
    return Problem(message, tuple(words), status, text_of(members.get("request_id")))


def _first_text(members: dict[str, Any], *names: str) -> str:
    for name in names:
        said = members.get(name)
        if isinstance(said, str) and said:
            return said
        if said and (is_object(said) or is_array(said)):
            with suppress(ProviderError):  # too deep to be told
                return dumps(said)
    return NO_MESSAGE


# -- judging --------------------------------------------------------------------------------------------------------


def judge(problem: Problem, status: int | None) -> tuple[ErrorKind, Retry | None]:
    """The kind, and where to retry if not at the kind's default. Words first, then the message, then the status.

    Nothing known at all is taken for a fault of the provider's (`overloaded`): that is what an in-band error of no
    type has been in every recorded case, and asking again is harmless.
    """
    for word in problem.words:
        if word in WORDS:
            return WORDS[word]
    code = problem.status or status
    if code is None or 400 <= code < 500:
        for phrase, verdict in PHRASES:
            # A limit of tokens a minute is told in the words of one a request; only money does not come back by itself.
            if code == HTTPStatus.TOO_MANY_REQUESTS and verdict[0] is not ErrorKind.BILLING:
                continue
            if phrase.search(problem.message[:MAX_HEAD_CHARS]):
                return verdict
    if code in STATUSES:
        return STATUSES[code]
    if code is not None and code != HTTPStatus.BAD_REQUEST:
        if code >= 500:
            return ErrorKind.OVERLOADED, None
        return (ErrorKind.BAD_REQUEST, None) if code >= 400 else (ErrorKind.PROTOCOL, None)
    for word in problem.words:
        if word in WEAK_WORDS:
            return WEAK_WORDS[word]
    return (ErrorKind.BAD_REQUEST if code else ErrorKind.OVERLOADED), None


def from_value(value: Any, raw: str) -> ProviderError:
    """The error that a stream event or a 200 body tells of (`value`, whose text is `raw`)."""
    problem = find_problem(value) or Problem("the provider reported an error without a message")
    kind, retry = judge(problem, None)
    error = ProviderError(kind, shorten(problem.message), retry=retry, request_id=problem.request_id, raw=raw)
    return add_details(error, value) if is_googles(value) else error


def malformed(what: str, raw: str) -> ProviderError:
    """The error for an event or body that is not what the dialect allows; `what` says what was expected."""
    return ProviderError(ErrorKind.PROTOCOL, what, raw=raw)


def from_response(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ProviderError:
    """The error that an HTTP response means. `headers` has lower-case names; `now` is wall-clock seconds since 1970.

    Any body is possible: JSON of every shape, HTML of a proxy, nothing, bytes that are not UTF-8.
    """
    raw = body.decode("utf-8", "replace").strip()
    value = loads(body)
    problem = find_problem(value) or Problem(_describe(status, raw))
    kind, retry = judge(Problem(problem.message, problem.words), status)
    error = ProviderError(
        kind,
        shorten(problem.message),
        retry=_obey(headers.get("x-should-retry"), kind, retry),
        phase=Phase.HEADERS,
        retry_after_s=retry_after_s(headers, now),
        status=status,
        request_id=request_id(headers) or problem.request_id,
        raw=raw,
    )
    return add_details(error, value) if is_googles(value) else error


def _obey(should_retry: str | None, kind: ErrorKind, retry: Retry | None) -> Retry | None:
    """`x-should-retry` speaks of the same request at the same provider, so "false" leaves other providers open."""
    if should_retry == "true" and kind not in _KEY_IS_SPENT:
        return Retry.SAME
    if should_retry == "false":
        at = ProviderError(kind, "", retry=retry).retry
        return Retry.OTHER_PROVIDER if at is Retry.SAME else at
    return retry


def _describe(status: int, raw: str) -> str:
    """A line about a body that is no JSON error."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "no standard status"
    title = _title(raw)
    if title:
        return f"{title} (an HTML page, {phrase})"
    if not raw:
        return f"{phrase}, with an empty body"
    return phrase if raw.startswith("<") else f"{phrase}: {raw}"


def _title(page: str) -> str:
    """An HTML page's title, looked for where one stands; "" if there is none. Linear, whatever the page."""
    head = page[:MAX_HEAD_CHARS]
    lower = head.lower()
    start = lower.find(">", lower.find("<title")) + 1 if "<title" in lower else 0
    end = lower.find("</title", start)
    # Lower case can be longer than what it was made of, for letters that no title tag has in front of it.
    return head[start:end].strip() if start and end > start and len(lower) == len(head) else ""


def shorten(message: str) -> str:
    """One line of at most `MAX_MESSAGE_CHARS` characters, and never empty."""
    line = " ".join(message[: MAX_MESSAGE_CHARS * 4].split()) or NO_MESSAGE
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 3] + "..."


# -- headers --------------------------------------------------------------------------------------------------------


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's own id of the exchange."""
    return next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), None)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """How long the provider asks to wait, in seconds from 0; None if it says nothing that can be read.

    In the order of the official SDKs: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` as seconds (fractions
    occur), `retry-after` as an HTTP date (RFC 9110, section 10.2.3) against `now`, wall-clock seconds since 1970.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    said = headers.get("retry-after")
    if said is None:
        return None
    seconds = _number(said)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    try:
        return max(0.0, date.timestamp() - now)
    except OverflowError:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
