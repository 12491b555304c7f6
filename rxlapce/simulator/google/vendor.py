"""Google's keys, tokens and HTTP errors: of Gemini, Vertex AI, Claude on Vertex AI, and where tokens come from."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from rxlapce.secret import Secret
from rxlapce.simulator.anthropic.vendor import ANTHROPIC
from rxlapce.simulator.google.json import pretty
from rxlapce.simulator.google.tokens import is_issued
from rxlapce.simulator.journal import Received
from rxlapce.simulator.options import Fault
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

_TYPES: Final = "type.googleapis.com/google.rpc."
#: The words for a status that has none of its own here.
_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    409: "ABORTED",
    408: "DEADLINE_EXCEEDED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}
_PER_MINUTE: Final = "GenerateRequestsPerMinutePerProjectPerModel"
_PER_DAY: Final = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
_EXCEEDED: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)

#: `code` is the reason in the details, or the quota that was exceeded.
_GEMINI: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"),
    Fault.QUOTA: Said(429, "RESOURCE_EXHAUSTED", _EXCEEDED, _PER_DAY),
    Fault.RATE_LIMIT: Said(429, "RESOURCE_EXHAUSTED", _EXCEEDED, _PER_MINUTE),
    Fault.OVERLOADED: Said(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    Fault.CONTEXT_LENGTH: Said(
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200613) exceeds the maximum number of tokens allowed (1048576).",
    ),
    400: Said(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    403: Said(403, "PERMISSION_DENIED", "The caller does not have permission"),
    404: Said(
        404,
        "NOT_FOUND",
        "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels "
        "to see the list of available models and their supported methods.",
    ),
    500: Said(
        500,
        "INTERNAL",
        "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/"
        "troubleshooting",
    ),
}
_VERTEX: Final[Mapping[Fault | int, Said]] = {
    **_GEMINI,
    Fault.AUTH: Said(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
        "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
    ),
    Fault.RATE_LIMIT: Said(
        429,
        "RESOURCE_EXHAUSTED",
        "Resource exhausted. Please try again later. Please refer to "
        "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
    ),
    404: Said(
        404,
        "NOT_FOUND",
        "Publisher Model `{model}` was not found or your project does not have access to it. Please ensure you are "
        "using a valid model version.",
    ),
    500: Said(500, "INTERNAL", "Internal error encountered."),
}
#: What Anthropic says itself; what concerns the project is said by Google.
_CLAUDE: Final[Mapping[Fault | int, Said]] = {
    **_VERTEX,
    **{kind: ANTHROPIC.errors[kind] for kind in (Fault.OVERLOADED, Fault.CONTEXT_LENGTH, 400, 500)},
}


def _render(service: str) -> Callable[[Said, Wait], HttpError]:
    def render(said: Said, wait: Wait) -> HttpError:
        """Indented JSON; when to come again stands in its details, not in a header."""
        status = _STATUSES.get(said.status, said.type)
        error: dict[str, Any] = {"code": said.status, "message": said.message, "status": status}
        details = _details(said, wait, service)
        if details:
            error["details"] = details
        content_type = "application/json; charset=UTF-8"
        return HttpError(said.status, pretty({"error": error}).encode() + b"\n", {}, content_type)

    return render


def _details(said: Said, wait: Wait, service: str) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if said.code in (_PER_DAY, _PER_MINUTE):
        metric = "generativelanguage.googleapis.com/generate_content_requests"
        violation = {"quotaMetric": metric, "quotaId": said.code, "quotaDimensions": {"location": "global"}}
        details.append({"@type": f"{_TYPES}QuotaFailure", "violations": [{**violation, "quotaValue": "50"}]})
    elif said.code is not None:
        domain, metadata = "googleapis.com", {"service": service}
        details.append({"@type": f"{_TYPES}ErrorInfo", "reason": said.code, "domain": domain, "metadata": metadata})
        details.append({"@type": f"{_TYPES}LocalizedMessage", "locale": "en-US", "message": said.message})
    if wait.wait_s is not None:
        details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{wait.wait_s:g}s"})
    return details


def _render_claude(said: Said, wait: Wait) -> HttpError:
    """Anthropic's errors are Anthropic's, and the rest is Google's."""
    return ANTHROPIC.render(said, wait) if said.type.islower() else VERTEX.render(said, wait)


def _bad_request(message: str, param: str | None) -> Said:
    return Said(400, "INVALID_ARGUMENT", message, param=param)


def _not_found(method: str, path: str) -> Said:
    return Said(404, "NOT_FOUND", f"The requested URL {path} was not found on this server for {method}.")


def _no_request_id(_chance: random.Random) -> dict[str, str]:
    """Google names none."""
    return {}


_bearer: Final = key_in("authorization")


def _admits(request: Received, demanded: Secret | None) -> bool:
    """A bearer token: the demanded one, or one that the simulator issued itself; any one if none is demanded."""
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return False
    token = _bearer(request)
    return demanded is None or token == demanded.reveal() or is_issued(token)


def _gemini_key(request: Received) -> str:
    """The key in its header, or in the query, where Google still takes it."""
    in_query = parse_qs(urlsplit(request.target).query).get("key", [""])
    return key_in("x-goog-api-key")(request) or in_query[0]


GEMINI: Final = Vendor(
    name="gemini",
    home="/v1beta/",
    errors=_GEMINI,
    by_status={429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render("generativelanguage.googleapis.com"),
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=_no_request_id,
    key=_gemini_key,
    proxied=False,
    no_prefill="Please ensure that multiturn requests ends with a user role or a function response.",
)
VERTEX: Final = replace(
    GEMINI,
    name="vertex",
    home="/v1/projects/",
    errors=_VERTEX,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render("aiplatform.googleapis.com"),
    key=_bearer,
    admits=_admits,
)
CLAUDE_ON_VERTEX: Final = replace(
    VERTEX,
    name="vertex-anthropic",
    errors=_CLAUDE,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 529: Fault.OVERLOADED},
    render=_render_claude,
    bad_request=ANTHROPIC.bad_request,
    request_id=ANTHROPIC.request_id,
    no_prefill=ANTHROPIC.no_prefill,
)


# -- where tokens come from -----------------------------------------------------------------------------------------


def _oauth(said: Said, _wait: Wait) -> HttpError:
    """RFC 6749 section 5.2."""
    body = {"error": said.type, "error_description": said.message}
    return HttpError(said.status, pretty(body).encode(), {}, "application/json; charset=utf-8")


def _oauth_refusal(message: str, param: str | None) -> Said:
    return Said(400, param or "invalid_request", message)


def _metadata(said: Said, _wait: Wait) -> HttpError:
    return HttpError(said.status, said.message.encode() + b"\n", {}, "text/html")


def _from_metadata(_chance: random.Random) -> dict[str, str]:
    return {"metadata-flavor": "Google"}


def _asks_metadata(request: Received, _demanded: Secret | None) -> bool:
    """The header that no browser can be made to send."""
    return request.headers.get("metadata-flavor") == "Google"


def _anyone(_request: Received, _demanded: Secret | None) -> bool:
    return True


OAUTH: Final = Vendor(
    name="google-oauth",
    home="/token",
    errors={
        Fault.AUTH: Said(401, "invalid_client", "The OAuth client was not found."),
        400: Said(400, "invalid_grant", "Bad Request"),
        500: Said(500, "internal_failure", "Backend Error"),
    },
    by_status={401: Fault.AUTH},
    render=_oauth,
    bad_request=_oauth_refusal,
    not_found=_not_found,
    request_id=_no_request_id,
    key=_bearer,
    proxied=False,
    admits=_anyone,
)
METADATA: Final = replace(
    OAUTH,
    name="google-metadata",
    home="/computeMetadata/",
    errors={
        Fault.AUTH: Said(403, "", "Missing Metadata-Flavor:Google header."),
        400: Said(400, "", "Bad Request"),
        404: Said(404, "", "Not Found"),
        500: Said(500, "", "Internal Server Error"),
    },
    by_status={},
    render=_metadata,
    request_id=_from_metadata,
    admits=_asks_metadata,
)
