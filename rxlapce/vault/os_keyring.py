"""The desktop's keyring, by the package `keyring`: only where the system keeps what is in it, and within a time.

That package also takes whatever else calls itself a keyring, such as files of plain text (`keyrings.alt`), and nothing
(`null`); and a keyring that waits to be unlocked on a screen which nobody looks at never answers.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, Protocol, TypeVar, cast

from rxlapce.errors import ConfigError
from rxlapce.secret import Secret

T = TypeVar("T")

WAIT_S: Final = 20.0
#: The keyrings that encrypt what they keep, by module and class.
ALLOWED: Final = {
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.libsecret.Keyring": "Secret Service",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.kwallet.DBusKeyringKWallet4": "KWallet",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Locker",
}
_CHAIN: Final = "keyring.backends.chainer.ChainerBackend"
_NONE: Final = ("keyring.backends.fail.Keyring", "keyring.backends.null.Keyring")


class Backend(Protocol):
    """What a keyring of that package can do, as far as it is used here."""

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept; None for nothing."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        ...


def installed() -> Backend:
    """The keyring that `keyring` has chosen. Raises `ConfigError` if it is not installed."""
    try:
        import keyring  # an extra, and 0.4 s to import
    except ImportError:
        raise ConfigError("a keyring needs the package keyring: pip install 'rxlapce[keyring]'") from None
    # Its own methods are wrapped by functions that a type checker sees without their names.
    return cast("Backend", keyring.get_keyring())


class OsKeyring:
    """The keyring of this desktop. Each call has `wait_s` seconds, and a thread of its own that nobody waits for.

    All raise `ConfigError`, which holds no secret, for a keyring that is missing, not allowed, locked, or late.
    """

    def __init__(self, load: Callable[[], Backend] = installed, *, wait_s: float = WAIT_S) -> None:
        self._load = load
        self._wait_s = wait_s

    def get(self, service: str, name: str) -> Secret | None:
        """What is kept for `service` and `name`; None for nothing."""
        found = self._call(lambda backend: backend.get_password(service, name))
        return None if found is None else Secret(found)

    def put(self, service: str, name: str, secret: Secret) -> None:
        """Keep `secret`, in the place of what was there."""
        self._call(lambda backend: backend.set_password(service, name, secret.reveal()))

    def remove(self, service: str, name: str) -> None:
        """Forget what is kept."""
        self._call(lambda backend: backend.delete_password(service, name))

    def _call(self, ask: Callable[[Backend], T]) -> T:
        answer = Future[T]()

        def run() -> None:
            try:
                backend = self._load()
                check(backend)
                answer.set_result(ask(backend))
            except ConfigError as error:
                answer.set_exception(error)
            except BaseException as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
                # By its type alone: its text is the backend's, and could hold anything.
                said = f"the keyring failed: {type(error).__name__}. Is it unlocked?"
                answer.set_exception(ConfigError(said))

        threading.Thread(target=run, name="rxlapce-keyring", daemon=True).start()
        try:
            return answer.result(self._wait_s)
        except TimeoutError:
            said = f"the keyring did not answer within {self._wait_s:g} s: does it wait to be unlocked?"
            raise ConfigError(said) from None


def check(backend: object) -> None:
    """Raise `ConfigError` unless `backend` is one that encrypts, or a chain of such alone."""
    kind = f"{type(backend).__module__}.{type(backend).__qualname__}"
    if kind in ALLOWED:
        return
    if kind == _CHAIN:
        links: Iterable[object] = getattr(backend, "backends", ())
        for link in links:
            check(link)
        return
    allowed = ", ".join(dict.fromkeys(ALLOWED.values()))
    if kind in _NONE:
        raise ConfigError(f"this system has no keyring ({kind}); known: {allowed}")
    raise ConfigError(f"{kind} is not known to encrypt what it keeps, and is not used; known: {allowed}")
