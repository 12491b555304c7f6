"""Credentials that expire: fetched early, once for all who wait, and never on the event loop.

A fetch is a blocking function (google-auth and azure-identity have no other), so each runs on a thread of its own. It
is a daemon thread, not one of the loop's executor: a fetch that hangs holds up neither the end of the loop, which waits
for its executor, nor that of the process.
"""

import asyncio
import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from rxlapce.errors import ErrorKind, Phase, ProviderError, Retry
from rxlapce.providers.auth import Unsigned
from rxlapce.secret import MASK, Secret, scrub

T = TypeVar("T")

MAX_TOLD_CHARS: Final = 600
#: A JSON Web Token (RFC 7519 section 3: its first part is base64url of `{"`), and an access token of Google's.
_TOKEN_SHAPES: Final = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*)*|\bya29\.[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Generic[T]):
    """A credential as it came: `value`, which of it is secret, and until when it holds, in seconds since the epoch."""

    value: T
    secrets: tuple[Secret, ...]
    expires_s: float = math.inf


class SharedCredential(Generic[T]):
    """A credential that `fetch` gets anew before it expires, for any number of requests at once.

    - Far from its expiry the credential is given at once.
    - Within `early_s` of it, or a tenth of its life if that is shorter, it is still given at once, while one refresh
      runs behind. If that fails, or brings nothing newer, it is tried again after `again_s`.
    - Without a credential, or with an expired one, all wait for one fetch. Its failure is told to all of them as a
      `ProviderError`, and the next request tries again. Nobody waits longer than `wait_s`.

    - One that the provider refuses is given to nobody after that (`refused`): it was revoked, or replaced.

    `fetch` raises `ProviderError` (auth) that says what was tried and what to do; anything else is told by its type
    alone, as its text could hold anything. A waiter that is cancelled leaves the fetch to the others, and to the next.
    May be asked from any loop, also from several: what is shared stands under a lock that is never held while waiting.

    `now` is the wall clock: a steady one stands still while a laptop sleeps, and credentials expire all the same.
    """

    def __init__(
        self,
        fetch: Callable[[], Fetched[T]],
        *,
        provider: str,
        early_s: float = 300.0,
        again_s: float = 10.0,
        wait_s: float = 60.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._provider = provider
        self._early_s = early_s
        self._again_s = again_s
        self._wait_s = wait_s
        self._now = now
        self._lock = threading.Lock()
        self._running: Future[T] | None = None
        self._held: Fetched[T] | None = None
        self._previous: Fetched[T] | None = None
        self._fetched_s = -math.inf
        self._refresh_from_s = -math.inf

    def __repr__(self) -> str:
        held = "none" if self._held is None else f"until {self._held.expires_s:.0f}"
        return f"SharedCredential(provider={self._provider!r}, held={held})"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Those held, and those before them: a request that was sent with these may still be answered."""
        return tuple(secret for held in (self._held, self._previous) if held is not None for secret in held.secrets)

    async def get(self) -> T:
        """A credential to use now. Raises `ProviderError` (auth) if there is none and none can be fetched."""
        with self._lock:
            held, now = self._held, self._now()
            if held is not None and now < held.expires_s:
                if now >= self._refresh_from_s and self._running is None:
                    self._refresh_from_s = now + self._again_s
                    self._start()
                return held.value
            running = self._running or self._start()
        try:
            async with asyncio.timeout(self._wait_s):
                return await _outcome(running)
        except TimeoutError:
            raise self._failure(f"no credential came within {self._wait_s:g} s; it is still waited for") from None
        except ProviderError as error:
            # One for each waiter: an error is filled in by each request that it ends, and keeps that one's traceback.
            raise self._failure(error.message, error.kind, error.retry) from None

    def refused(self) -> None:
        """Forget the credential, which the provider did not take: the next request waits for another.

        Not one that came in the last `again_s`: a new one is refused for another reason, and requests without a right
        would each ask for one more.
        """
        with self._lock:
            if self._held is not None and self._now() >= self._fetched_s + self._again_s:
                self._previous, self._held = self._held, None

    def _start(self) -> Future[T]:
        """Begin to fetch; the lock is held."""
        running = Future[T]()
        name = f"rxlapce-{self._provider}-credential"
        try:
            threading.Thread(target=self._refresh, args=(running,), name=name, daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads: a fetch that failed
            running.set_exception(self._failure(f"the credential could not be fetched: {error}"))
        else:
            self._running = running
        return running

    def _refresh(self, running: Future[T]) -> None:
        """Fetch, keep what came, and tell it; runs on a thread of its own."""
        try:
            fetched = self._fetch()
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            with self._lock:
                self._running = None
            if not isinstance(error, ProviderError):
                error = self._failure(f"the credential could not be fetched: {type(error).__name__}")
            running.set_exception(error)
            return
        with self._lock:
            self._running = None
            now = self._now()
            held = self._held
            if held is not None and held.value != fetched.value:
                self._previous = held
            self._held, self._fetched_s = fetched, now
            if held is None or fetched.expires_s > held.expires_s:
                self._refresh_from_s = fetched.expires_s - min(self._early_s, (fetched.expires_s - now) / 10)
            else:  # what a library or a server had in store: the very one that is about to expire
                self._refresh_from_s = now + self._again_s
        running.set_result(fetched.value)

    def _failure(
        self, message: str, kind: ErrorKind = ErrorKind.AUTH, retry: Retry = Retry.OTHER_PROVIDER
    ) -> ProviderError:
        return ProviderError(
            kind, scrub(message, self.secrets), retry=retry, phase=Phase.ADMIT, provider=self._provider
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and the headers that belong to it, which are not secret."""

    secret: Secret
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class RefreshedBearer:
    """`Authorization: Bearer TOKEN` (RFC 6750 section 2.1) with a token that expires."""

    credential: SharedCredential[Token]

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The token and the one before it."""
        return self.credential.secrets

    async def headers(self, request: Unsigned) -> Mapping[str, str]:
        """The token's headers; waits for a first or expired token. Raises `ProviderError` (auth)."""
        token = await self.credential.get()
        return {"Authorization": f"Bearer {token.secret.reveal()}", **token.headers}

    def refused(self) -> None:
        """Forget the token."""
        self.credential.refused()


def missing_extra(package: str, extra: str, error: ImportError) -> ProviderError:
    """What a request is told when the optional `package` of the provider cannot be imported."""
    return ProviderError(
        ErrorKind.AUTH,
        f"this needs {package}, which is not installed ({error}): pip install 'rxlapce[{extra}]'",
        retry=Retry.OTHER_PROVIDER,
        phase=Phase.ADMIT,
    )


def tellable(error: BaseException, secrets: Iterable[Secret] = ()) -> str:
    """What `error` says in its first argument, for people: on one line, short, without `secrets` and tokens.

    The further arguments are left out: google-auth puts a token endpoint's whole response there.
    """
    said = error.args[0] if error.args else ""
    if isinstance(said, BaseException):  # one library's error in another's
        return tellable(said, secrets)
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror
    text = _TOKEN_SHAPES.sub(MASK, " ".join(scrub(str(said), secrets).split()))
    return text[:MAX_TOLD_CHARS] or type(error).__name__


async def _outcome(running: Future[T]) -> T:
    """What `running` ends in. Unlike `asyncio.wrap_future`, cancelling the wait does not cancel `running`."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop of a waiter that went away is closed
            loop.call_soon_threadsafe(_mark, done)

    running.add_done_callback(tell)
    await done
    return running.result()


def _mark(done: asyncio.Future[None]) -> None:
    if not done.done():  # a waiter that was cancelled
        done.set_result(None)
