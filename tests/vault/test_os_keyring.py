"""The desktop's keyring: which are used, and what is said of the others."""

import threading

import pytest

from rxlapce.errors import ConfigError
from rxlapce.secret import Secret
from rxlapce.testing.vaults import MemoryKeyring
from rxlapce.vault.os_keyring import ALLOWED, Backend, OsKeyring, check

CANARY = "sk-canary-0123456789abcdef"


def made(kind: str, **members: object) -> object:
    """A keyring whose class says that it is of this kind."""
    module, _, name = kind.rpartition(".")
    return type(name, (), {"__module__": module, **members})()


@pytest.mark.parametrize("kind", ALLOWED)
def test_a_keyring_that_encrypts_is_used(kind: str) -> None:
    check(made(kind))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("keyrings.alt.file.PlaintextKeyring", "keyrings.alt.file.PlaintextKeyring is not known to encrypt"),
        ("keyrings.alt.file.EncryptedKeyring", "is not known to encrypt what it keeps, and is not used; known: macOS"),
        ("keyring.backends.null.Keyring", r"this system has no keyring \(keyring.backends.null.Keyring\)"),
        ("keyring.backends.fail.Keyring", "this system has no keyring"),
        ("mine.SecretService.Keyring", "is not known to encrypt"),
    ],
)
def test_any_other_is_refused_by_its_name(kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(made(kind))


def test_a_chain_is_used_if_all_of_it_is() -> None:
    chain = "keyring.backends.chainer.ChainerBackend"
    check(made(chain, backends=[MemoryKeyring()]))
    with pytest.raises(ConfigError, match="PlaintextKeyring is not known to encrypt"):
        check(made(chain, backends=[MemoryKeyring(), made("keyrings.alt.file.PlaintextKeyring")]))


def test_nothing_is_read_from_or_written_to_one_that_is_refused() -> None:
    class Plain(MemoryKeyring):
        """One that must not be touched."""

    plain = Plain()
    keyring = OsKeyring(lambda: plain)
    with pytest.raises(ConfigError, match="is not known to encrypt"):
        keyring.put("service", "name", Secret(CANARY))
    assert plain.kept == {}


def test_what_is_kept_is_found_and_forgotten() -> None:
    backend = MemoryKeyring()
    keyring = OsKeyring(lambda: backend)
    assert keyring.get("service", "name") is None
    keyring.put("service", "name", Secret(CANARY))
    assert keyring.get("service", "name") == Secret(CANARY)
    keyring.remove("service", "name")
    assert backend.kept == {}


def test_a_failure_is_told_by_its_type_alone() -> None:
    def load() -> Backend:
        raise OSError(CANARY)

    with pytest.raises(ConfigError, match=r"the keyring failed: OSError. Is it unlocked\?") as refused:
        OsKeyring(load).get("service", "name")
    assert CANARY not in f"{refused.value!r}{refused.value.__cause__!r}"


def test_a_keyring_that_never_answers_holds_nobody_up() -> None:
    never = threading.Event()

    def load() -> Backend:
        never.wait(20)
        return MemoryKeyring()

    try:
        with pytest.raises(ConfigError, match=r"did not answer within 0.01 s: does it wait to be unlocked\?"):
            OsKeyring(load, wait_s=0.01).get("service", "name")
    finally:
        never.set()


def test_without_the_package_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"pip install 'rxlapce\[keyring\]'"):
        OsKeyring().get("service", "name")
