"""AWS Signature Version 4 by botocore, with the credentials of its chain; botocore is the extra `rxlapce[bedrock]`.

botocore takes 0.3 s to import. It is first loaded in the thread that looks for the credentials, never with rxlapce.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import asyncio
import importlib
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.credentials import Fetched, SharedCredential, missing_extra, tellable
from rxlapce.secret import Secret

#: Signed besides `host` and `x-amz-*`: what AWS's own clients sign. A header more (`accept-encoding`) breaks the
#: signature as soon as a proxy on the way touches it.
SIGNED: Final = frozenset({"content-type"})
#: botocore renews credentials 15 minutes before their end and fails if it cannot 10 minutes before it: what it gives is
#: good for so many seconds, unless that is more than their whole life.
LASTING_S: Final = 600.0
#: When to ask botocore again for credentials that live shorter.
SHORT_S: Final = 60.0
#: Hashing longer bodies would hold up the other streams on the loop for more than a millisecond.
LONG_BODY_BYTES: Final = 256 * 1024

NO_CREDENTIALS: Final = (
    "no AWS credentials were found: set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """What a request is signed with. `session_token` belongs to temporary credentials, which end.

    `lasts_s` is how long they are good for certain, in seconds. The id of the key is sent with each request; it is no
    secret.
    """

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None
    lasts_s: float = math.inf

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not be seen of it."""
        return (self.secret_access_key,) if self.session_token is None else (self.secret_access_key, self.session_token)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigV4:
    """Signs requests to `service` in `region`.

    `credential` looks for the keys in a thread of its own: see `shared`. A signature is made on the loop (0.3 ms for a
    body of 10 KB, 2026-11-22), that of a long body in a thread (5 ms a MB, as for pictures).
    """

    credential: SharedCredential[AwsKeys]
    region: str
    service: str = "bedrock"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Key and session token: AWS says the whole canonical request back, token and all, to a wrong signature."""
        return self.credential.secrets

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """The signature, its date and the session token; waits for keys. Raises `ProviderError` (auth)."""
        keys = await self.credential.get()
        make = partial(sign, request, keys, region=self.region, service=self.service)
        return make() if len(request.body) <= LONG_BODY_BYTES else await asyncio.to_thread(make)

    def refused(self) -> None:
        """Look for the keys again."""
        self.credential.refused()


def shared(
    find: Callable[[], AwsKeys], *, provider: str, now: Callable[[], float] = time.time
) -> SharedCredential[AwsKeys]:
    """The keys that `find` gives, looked for once for all requests that wait, and again before they end.

    `find` may block, and raises `ProviderError`. `now` is the wall clock.
    """

    def fetch() -> Fetched[AwsKeys]:
        _botocore("auth")  # imported here, in the thread: not by the first signature, on the loop
        _botocore("awsrequest")
        _hush()
        keys = find()
        return Fetched(value=keys, secrets=keys.secrets, expires_s=now() + keys.lasts_s)

    return SharedCredential(fetch, provider=provider, now=now)


def sign(request: Unsigned, keys: AwsKeys, *, region: str, service: str) -> dict[str, str]:
    """The headers that prove `request`: Authorization, X-Amz-Date, X-Amz-Security-Token with a session.

    And the Host, as it was signed. The path is encoded once more for the signature than it is sent, as all services but
    S3 want it: `%3A` is signed as `%253A`.
    """
    given = {name: value for name, value in request.headers.items() if _is_signed(name)}
    unsigned = _botocore("awsrequest").AWSRequest(
        method=request.method, url=request.url, data=request.body, headers={**given, "Host": _host(request.url)}
    )
    _botocore("auth").SigV4Auth(_Revealed(keys), service, region).add_auth(unsigned)
    return {name: str(value) for name, value in unsigned.headers.items() if name not in given}


class _Revealed:
    """Keys under the names that botocore reads, revealed only when it does."""

    __slots__ = ("_keys",)

    def __init__(self, keys: AwsKeys) -> None:
        self._keys = keys

    @property
    def access_key(self) -> str:
        return self._keys.access_key_id

    @property
    def secret_key(self) -> str:
        return self._keys.secret_access_key.reveal()

    @property
    def token(self) -> str | None:
        return None if self._keys.session_token is None else self._keys.session_token.reveal()


def given_keys(access_key_id: str, secret_access_key: Secret, session_token: Secret | None) -> Callable[[], AwsKeys]:
    """What gives keys that the user set. They have no end that could be known."""
    keys = AwsKeys(access_key_id=access_key_id, secret_access_key=secret_access_key, session_token=session_token)
    return lambda: keys


def chain(profile: str | None, region: str) -> Callable[[], AwsKeys]:
    """What asks botocore's chain: the environment, profiles, roles, SSO, processes, containers, the machine's role.

    The place that it finds first is kept, and renewed by botocore, if its keys end. Others are looked for each time: a
    program that signs in (saml2aws, a script) may have written newer ones into the profile. What it gives raises
    `ProviderError` (auth) and may block for seconds; it is for one thread at a time.
    """
    found: Any = None

    def find() -> AwsKeys:
        nonlocal found
        errors = _botocore("exceptions")
        try:
            if not _end(found):
                session = _botocore("session").Session(profile=profile)
                session.set_config_variable("region", region)  # where roles are assumed
                found = session.get_credentials()
            if found is None:
                raise _no_keys(NO_CREDENTIALS)
            frozen = found.get_frozen_credentials()
        except (errors.BotoCoreError, errors.ClientError, RuntimeError, OSError, ValueError) as error:
            raise _no_keys(f"AWS credentials could not be had: {tellable(error)}") from None
        return AwsKeys(
            access_key_id=frozen.access_key,
            secret_access_key=Secret(frozen.secret_key),
            session_token=Secret(frozen.token) if frozen.token else None,
            lasts_s=_lasts(found),
        )

    return find


def _hush() -> None:
    """Keep botocore's debug lines out of the log: they hold session tokens, and whole answers of AWS with keys.

    Whoever sets a level for its logger, sets it knowingly.
    """
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def _end(credentials: Any) -> bool:
    return hasattr(credentials, "refresh_needed")


def _lasts(credentials: Any) -> float:
    if not _end(credentials):
        return math.inf
    return SHORT_S if credentials.refresh_needed(LASTING_S) else LASTING_S


def _is_signed(name: str) -> bool:
    lower = name.lower()
    return lower in SIGNED or lower.startswith("x-amz-")


def _host(url: str) -> str:
    """The value of Host for `url` (RFC 9110 section 7.2), in lower case, without a port that is the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f"{host}:{parts.port}"


def _no_keys(message: str) -> ProviderError:
    return ProviderError(ErrorKind.AUTH, message, retry=Retry.OTHER_PROVIDER, phase=Phase.ADMIT)


def _botocore(module: str) -> Any:
    """A module of botocore, which has no types. Raises `ProviderError` (auth) without the extra."""
    try:
        return importlib.import_module(f"botocore.{module}")
    except ImportError as error:
        raise missing_extra("botocore", "bedrock", error) from None
