"""Google's access tokens as the simulator issues them: by OAuth's token endpoint, and by a machine's metadata server.

A token says by its own checksum that the simulator issued it, so that nothing need be remembered. Signatures of service
accounts are not verified. Source: Google's "Using OAuth 2.0 for Server to Server Applications" (RFC 7523), RFC 6749
section 6, and Compute Engine's "About VM metadata".
"""

import base64
import binascii
import hashlib
import secrets
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from rxlapce.simulator.asked import BadBody, Where

_PREFIX: Final = "ya29.simulator-"
LIFE_S: Final = 3599
_NUMBER_CHARS: Final = 16


def issue() -> str:
    """A token like no other."""
    number = secrets.token_hex(_NUMBER_CHARS // 2)
    return f"{_PREFIX}{number}{_checksum(number)}"


def is_issued(token: str) -> bool:
    """Whether a simulator issued the token."""
    said = token.removeprefix(_PREFIX)
    return said != token and said[_NUMBER_CHARS:] == _checksum(said[:_NUMBER_CHARS])


def _checksum(number: str) -> str:
    return hashlib.blake2b(number.encode(), digest_size=16, person=b"google token").hexdigest()


def _granted() -> bytes:
    return msgspec.json.encode({"access_token": issue(), "expires_in": LIFE_S, "token_type": "Bearer"})


# -- OAuth ----------------------------------------------------------------------------------------------------------


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None


class _Claims(msgspec.Struct):
    iss: str
    aud: str
    iat: int
    exp: int
    scope: str | None = None
    target_audience: str | None = None


def exchange(body: bytes, _where: Where) -> bytes:
    """A token for a signed assertion, or for a refresh token. Raises `BadBody` with OAuth's code for what is wrong."""
    form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    match form.get("grant_type"):
        case "urn:ietf:params:oauth:grant-type:jwt-bearer":  # RFC 7523 section 2.1
            _check_assertion(form.get("assertion", ""))
        case "refresh_token":
            for name in ("refresh_token", "client_id", "client_secret"):
                if name not in form:
                    raise BadBody(f"Missing required parameter: {name}", "invalid_request")
        case other:
            raise BadBody(f"Invalid grant_type: {other or ''}", "unsupported_grant_type")
    return _granted()


def _check_assertion(assertion: str) -> None:
    """RFC 7523 section 3, as Google has it: RS256, an hour at the most, and a scope."""
    header, _, rest = assertion.partition(".")
    claims, _, signature = rest.partition(".")
    try:
        said = msgspec.json.decode(_segment(header), type=_Header)
        claimed = msgspec.json.decode(_segment(claims), type=_Claims)
        signed = _segment(signature)
    except (binascii.Error, ValueError) as error:  # msgspec's and UnicodeDecodeError are ValueErrors
        raise BadBody(f"Invalid JWT: {error}", "invalid_grant") from None
    if said.alg != "RS256" or not signed:
        raise BadBody("Invalid JWT Signature.", "invalid_grant")
    if not 0 < claimed.exp - claimed.iat <= 3600:
        raise BadBody(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
            "and exp values in the JWT claim.",
            "invalid_grant",
        )
    if not claimed.scope and not claimed.target_audience:
        raise BadBody("Invalid OAuth scope or ID token audience provided.", "invalid_scope")


def _segment(text: str) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


# -- the metadata server --------------------------------------------------------------------------------------------

PROJECT: Final = "simulated-project"
EMAIL: Final = "simulator@simulated-project.iam.gserviceaccount.com"
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def machine_token(_body: bytes, _where: Where) -> bytes:
    """The token of the machine's service account."""
    return _granted()


def service_account(_body: bytes, _where: Where) -> bytes:
    """The machine's service account."""
    said: dict[str, Any] = {"aliases": ["default"], "email": EMAIL, "scopes": [_SCOPE]}
    return msgspec.json.encode(said)


def project_id(_body: bytes, _where: Where) -> bytes:
    """The machine's project."""
    return PROJECT.encode()


def universe_domain(_body: bytes, _where: Where) -> bytes:
    """Whose cloud it is."""
    return b"googleapis.com"


def root(_body: bytes, _where: Where) -> bytes:
    """What there is."""
    return b"computeMetadata/\n"
