"""What the end of a stream says of the one who sent it: what a circuit breaker is fed with."""

from enum import StrEnum
from typing import Final

from rxlapce.errors import ErrorKind, Phase, ProviderError
from rxlapce.operators.timeouts import StreamTimeout, TimeLimit


class Verdict(StrEnum):
    """What the end of a stream says of its provider."""

    SUCCESS = "success"
    FAILURE = "failure"
    COOLDOWN = "cooldown"
    NEITHER = "neither"


FAILURES: Final = frozenset(
    {ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.OVERLOADED, ErrorKind.TRUNCATED, ErrorKind.PROTOCOL}
)
#: The key's faults, not the provider's.
OF_KEY: Final = frozenset({ErrorKind.AUTH, ErrorKind.BILLING, ErrorKind.QUOTA})


def was_sent(error: Exception) -> bool:
    """Whether a provider was asked at all by the request that ended in `error`; no refusal of ours comes so late."""
    return not isinstance(error, ProviderError) or error.phase is not Phase.ADMIT


def verdict_of(error: Exception, *, keyed: bool = False, paused: bool = False) -> Verdict:
    """What `error` says of the provider, for a breaker of one key (`keyed`) or of all of them.

    - Failures: network, timeout in every phase, overloaded, truncated, protocol; a rate limit without a time to wait.
    - A cooldown: a rate limit that says how long; of one key's breaker also auth, billing and quota. Where there is
      only one key these are neither: the caller is to be told of the key and not of a breaker, at each request.
    - Neither: the caller's own faults (bad_request, context_length, content_filter, cancelled), rxlapce's (`internal`,
      anything that is no `ProviderError`), every refusal in phase `admit`, in which nothing was sent; and the total
      limit of a stream that was `paused` by its reader.
    """
    if not isinstance(error, ProviderError) or not was_sent(error):
        return Verdict.NEITHER
    if paused and isinstance(error, StreamTimeout) and error.limit is TimeLimit.TOTAL:
        return Verdict.NEITHER  # the other limits stand still meanwhile
    if error.kind is ErrorKind.RATE_LIMIT:
        return Verdict.COOLDOWN if error.retry_after_s else Verdict.FAILURE
    if error.kind in OF_KEY:
        return Verdict.COOLDOWN if keyed else Verdict.NEITHER
    return Verdict.FAILURE if error.kind in FAILURES else Verdict.NEITHER
