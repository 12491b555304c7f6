"""Azure OpenAI's keys, request ids and HTTP errors; the words are OpenAI's where nothing else is known."""

import math
import random
import uuid
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rxlapce.simulator.azure.chat import filter_results
from rxlapce.simulator.openai import vendor as openai_vendor
from rxlapce.simulator.options import Fault
from rxlapce.simulator.vendor import HttpError, Said, Vendor, Wait, key_in

_FILTERED: Final = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)

_ERRORS: Final[Mapping[Fault | int, Said]] = dict(openai_vendor.ERRORS) | {
    Fault.AUTH: Said(
        401,
        "",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
        "active subscription and use a correct regional API endpoint for your resource.",
        "401",
    ),
    Fault.RATE_LIMIT: Said(
        429,
        "",
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded token rate limit of "
        "your current pricing tier. Please retry after 2 seconds.",
        "429",
    ),
    Fault.BLOCKED: Said(400, "", _FILTERED, "content_filter", "prompt"),
    404: Said(
        404,
        "",
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
        "please wait a moment and try again.",
        "DeploymentNotFound",
    ),
}


def _render(said: Said, wait: Wait) -> HttpError:
    """The gateway's errors have a code and a message, the model's are OpenAI's, the filter's say what was found."""
    error: dict[str, Any] = {"code": said.code, "message": said.message}
    if said.code == "content_filter":
        found = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": filter_results(blocked=True)}
        error |= {"param": said.param, "status": said.status, "innererror": found}
    elif said.type:
        error = {"message": said.message, "type": said.type, "param": said.param, "code": said.code}
    headers: dict[str, str] = {}
    if wait.wait_s is not None:
        headers = {"retry-after": str(math.ceil(wait.wait_s)), "retry-after-ms": str(round(wait.wait_s * 1000))}
    return HttpError(said.status, msgspec.json.encode({"error": error}), headers)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "", "Resource not found", "404")


def _request_id(chance: random.Random) -> dict[str, str]:
    return {"apim-request-id": str(uuid.UUID(bytes=chance.randbytes(16)))}


AZURE: Final = Vendor(
    name="azure",
    home="/openai/",
    errors=_ERRORS,
    by_status={401: Fault.AUTH, 429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=openai_vendor.bad_request,
    not_found=_not_found,
    request_id=_request_id,
    key=key_in("api-key", "authorization"),
    proxied=False,
)
