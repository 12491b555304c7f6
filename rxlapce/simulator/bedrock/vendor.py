"""AWS Bedrock's keys, request ids and HTTP errors."""

from collections.abc import Mapping
from typing import Final

import msgspec

from rxlapce.secret import Secret
from rxlapce.simulator.bedrock.padding import request_id
from rxlapce.simulator.journal import Received
from rxlapce.simulator.options import Fault
from rxlapce.simulator.vendor import NO_PREFILL, HttpError, Said, Vendor, Wait, key_in

_SIGV4: Final = "AWS4-HMAC-SHA256 "

key_of: Final = key_in("authorization")

_BUSY: Final = "Too many requests, please wait before trying again."
_ERRORS: Final[Mapping[Fault | int, Said]] = {
    Fault.AUTH: Said(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    # What Bedrock has for an account that must not go on: waiting never helps.
    Fault.QUOTA: Said(
        400,
        "ServiceQuotaExceededException",
        "Your request exceeds the service quota for your account. You can view your quotas in the Service Quotas "
        "console and request an increase.",
    ),
    Fault.RATE_LIMIT: Said(429, "ThrottlingException", _BUSY),
    Fault.OVERLOADED: Said(503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    Fault.CONTEXT_LENGTH: Said(400, "ValidationException", "Input is too long for requested model."),
    400: Said(400, "ValidationException", "The provided request is not valid."),
    403: Said(403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: Said(404, "ResourceNotFoundException", "Could not resolve the foundation model from the model identifier."),
    408: Said(408, "ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: Said(
        424,
        "ModelErrorException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    500: Said(
        500,
        "InternalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
}


def _render(said: Said, wait: Wait) -> HttpError:
    """The exception's name in a header, its message in the body. Bedrock does not say when to come again."""
    headers = {"x-amzn-errortype": f"{said.type}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    if wait.wait_s is not None:
        headers["retry-after"] = f"{wait.wait_s:g}"
    return HttpError(said.status, msgspec.json.encode({"message": said.message}), headers)


def _bad_request(message: str, _param: str | None) -> Said:
    return Said(400, "ValidationException", message)


def _not_found(_method: str, _path: str) -> Said:
    return Said(404, "UnknownOperationException", "")


def _admits(request: Received, demanded: Secret | None) -> bool:
    """Any request with credentials, of which a bearer token must be the demanded one. No signature is verified."""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith(_SIGV4):
        return all(member in authorization for member in ("Credential=", "SignedHeaders=", "Signature="))
    return authorization.startswith("Bearer ") and (demanded is None or key_of(request) == demanded.reveal())


BEDROCK: Final = Vendor(
    name="bedrock",
    home="/model/",
    errors=_ERRORS,
    by_status={429: Fault.RATE_LIMIT, 503: Fault.OVERLOADED},
    render=_render,
    bad_request=_bad_request,
    not_found=_not_found,
    request_id=request_id,
    key=key_of,
    proxied=False,
    no_prefill=f"The model returned the following errors: {NO_PREFILL}",
    admits=_admits,
)
