"""Access tokens by google-auth. Importing this imports google-auth, the extra `rxlapce[vertex]`.

Source: google-auth's reference, and https://cloud.google.com/docs/authentication/application-default-credentials.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import google.auth
from google.auth import (
    aws,
    exceptions,
    external_account_authorized_user,
    identity_pool,
    impersonated_credentials,
    pluggable,
)
from google.auth.transport.requests import Request
from google.oauth2 import credentials as authorized_user
from google.oauth2 import service_account

from rxlapce.dialects.json_values import is_object
from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.credentials import Fetched, Token, tellable
from rxlapce.secret import Secret

# google-auth says it is typed and hardly is: what is called of it is Any, and what comes of it is `Credentials`.
_GOOGLE_AUTH: Final[Any] = google.auth
_REQUEST: Final[Any] = Request
_SERVICE_ACCOUNT: Final[Any] = service_account.Credentials
_AUTHORIZED_USER: Final[Any] = authorized_user.Credentials
_AWS: Final[Any] = aws.Credentials
_PLUGGABLE: Final[Any] = pluggable.Credentials
_IDENTITY_POOL: Final[Any] = identity_pool.Credentials
_EXTERNAL_USER: Final[Any] = external_account_authorized_user.Credentials
_IMPERSONATED: Final[Any] = impersonated_credentials.Credentials

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
#: For one HTTP request of a refresh, in seconds; google-auth's own limit is 120.
REQUEST_TIMEOUT_S: Final = 10.0
_AWS_SUBJECT: Final = "urn:ietf:params:aws:token-type:aws4_request"
#: Members of a credential's file, at any depth, that must not be seen.
_SECRET_MEMBERS: Final = frozenset({"private_key", "refresh_token", "client_secret"})

_SEARCHED: Final = (
    "GOOGLE_APPLICATION_CREDENTIALS, the file of gcloud auth application-default login, the metadata server"
)


class Credentials(Protocol):
    """What is used of any of google-auth's credentials. `expiry` is UTC without saying so; None never comes."""

    token: str | None
    expiry: datetime | None

    @property
    def quota_project_id(self) -> str | None:
        """Who pays, where it is not the project that the credentials belong to."""
        ...

    def refresh(self, request: Request) -> None:
        """Fetch a token."""
        ...


class BoundedRequest(Request):
    """google-auth's HTTP client with a limit on each request."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Any = None,
        timeout: Any = REQUEST_TIMEOUT_S,
        **kwargs: Any,
    ) -> Any:
        """Send it; see google-auth."""
        timeout = timeout if timeout and timeout < REQUEST_TIMEOUT_S else REQUEST_TIMEOUT_S
        return _REQUEST.__call__(self, url, method, body, headers, timeout, **kwargs)


def fetch(file: str | None) -> Fetched[Token]:
    """A new token of the credential in `file`, or of the first that Google's search finds. Blocks.

    The credential is looked up each time, so that a key that was replaced or a new login counts without a restart.
    Raises `ProviderError` (auth).
    """
    request = BoundedRequest()
    secrets: tuple[Secret, ...] = ()
    try:
        if file is None:
            found = search(request)
        else:
            info = _read(Path(file))
            secrets = tuple(_secrets_in(info))
            found = load(info)
        found.refresh(request)
    except (exceptions.DefaultCredentialsError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        # What google-auth raises for a file that lacks a member, has one of another type, or a broken key.
        raise _refused(
            f"the credential in {file or 'the default place'} cannot be used: {tellable(error, secrets)}"
        ) from None
    except exceptions.GoogleAuthError as error:
        transient = isinstance(error, exceptions.TransportError) or bool(getattr(error, "retryable", False))
        retry = Retry.SAME if transient else Retry.OTHER_PROVIDER
        raise _refused(
            f"Google gave no token for {file or 'the default credentials'}: {tellable(error, secrets)}", retry
        ) from None
    finally:
        request.session.close()
    if not found.token:
        raise _refused(f"Google gave no token for {file or 'the default credentials'}")
    secret = Secret(found.token)
    expires_s = math.inf if found.expiry is None else found.expiry.replace(tzinfo=UTC).timestamp()
    quota = found.quota_project_id
    token = Token(secret, {"x-goog-user-project": quota} if quota else {})
    return Fetched(value=token, secrets=(secret,), expires_s=expires_s)


def search(request: Request) -> Credentials:
    """The application default credentials. Raises `ProviderError` (auth) if there are none that can be used."""
    try:
        found: Credentials = _GOOGLE_AUTH.default(scopes=SCOPES, request=request)[0]
    except exceptions.DefaultCredentialsError as error:
        raise _refused(
            f"no Google credentials were found (looked at {_SEARCHED}): set GOOGLE_APPLICATION_CREDENTIALS, or run "
            f"gcloud auth application-default login; google-auth says: {tellable(error)}"
        ) from None
    return found


def load(info: Mapping[str, Any]) -> Credentials:
    """The credentials that `info`, the content of a credential's file, describes.

    By the file's own type, as google-auth asks its users to do: its general loader is deprecated. Raises ValueError for
    a type that cannot ask for a token here, and what google-auth raises for content that does not fit the type.
    """
    kind = info.get("type")
    loader = _LOADERS.get(kind) if isinstance(kind, str) else None
    if loader is None:
        raise ValueError(f"its type is {kind!r}; expected one of {', '.join(_LOADERS)}")
    found: Any = loader(info)
    scoped: Credentials = found.with_quota_project_from_environment()
    return scoped


def _service_account(info: Mapping[str, Any]) -> Any:
    quota = info.get("quota_project_id")
    return _SERVICE_ACCOUNT.from_service_account_info(info, scopes=SCOPES, quota_project_id=quota)


def _authorized_user(info: Mapping[str, Any]) -> Any:
    return _AUTHORIZED_USER.from_authorized_user_info(info)  # a login has its scopes already


def _external_account(info: Mapping[str, Any]) -> Any:
    source = info.get("credential_source")
    if info.get("subject_token_type") == _AWS_SUBJECT:
        return _AWS.from_info(info, scopes=SCOPES)
    if is_object(source) and "executable" in source:
        return _PLUGGABLE.from_info(info, scopes=SCOPES)
    return _IDENTITY_POOL.from_info(info, scopes=SCOPES)


def _external_account_authorized_user(info: Mapping[str, Any]) -> Any:
    return _EXTERNAL_USER.from_info(info)


def _impersonated(info: Mapping[str, Any]) -> Any:
    return _IMPERSONATED.from_impersonated_service_account_info(info, scopes=SCOPES)


_LOADERS: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "service_account": _service_account,
    "authorized_user": _authorized_user,
    "external_account": _external_account,
    "external_account_authorized_user": _external_account_authorized_user,
    "impersonated_service_account": _impersonated,
}


def _read(file: Path) -> dict[str, Any]:
    """The file's content. What is wrong with it is told without any of it."""
    try:
        said: Any = json.loads(file.read_bytes())
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from None
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if is_object(said):
        return said
    raise ValueError("it is no JSON object")


def _secrets_in(info: Any) -> Iterator[Secret]:
    if is_object(info):
        for name, value in info.items():
            if name in _SECRET_MEMBERS and isinstance(value, str):
                yield Secret(value)
            else:
                yield from _secrets_in(value)


def _refused(message: str, retry: Retry = Retry.OTHER_PROVIDER) -> ProviderError:
    return ProviderError(ErrorKind.AUTH, message, retry=retry, phase=Phase.ADMIT)
