"""What of a credential is sent, and what is told of one that cannot be had."""

import pytest

from rxlapce.errors import ErrorKind, Phase, Retry
from rxlapce.providers.auth import Unsigned
from rxlapce.providers.credentials import (
    MAX_TOLD_CHARS,
    Fetched,
    RefreshedBearer,
    SharedCredential,
    Token,
    missing_extra,
    tellable,
)
from rxlapce.secret import MASK, Secret

REQUEST = Unsigned("POST", "http://127.0.0.1/", {}, b"")
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"


async def test_a_refreshed_bearer_sends_its_token_and_what_belongs_to_it() -> None:
    def fetch() -> Fetched[Token]:
        secret = Secret("opaque-token")
        return Fetched(value=Token(secret, {"x-goog-user-project": "payer"}), secrets=(secret,))

    auth = RefreshedBearer(SharedCredential(fetch, provider="p"))
    assert await auth.headers(REQUEST) == {"Authorization": "Bearer opaque-token", "x-goog-user-project": "payer"}
    assert auth.secrets == (Secret("opaque-token"),)
    assert "opaque-token" not in repr(auth)


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = missing_extra("google-auth", "vertex", ModuleNotFoundError("No module named 'google'"))
    assert (error.kind, error.retry, error.phase) == (ErrorKind.AUTH, Retry.OTHER_PROVIDER, Phase.ADMIT)
    assert "pip install 'rxlapce[vertex]'" in error.message
    assert "No module named 'google'" in error.message


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("one\n  two", {"access_token": "kept out"}), "one two"),
        (ValueError(f"bad assertion {JWT}, sorry"), f"bad assertion {MASK}, sorry"),
        (ValueError("sent ya29.a0Af_H-x.y to it"), f"sent {MASK} to it"),
        (ValueError("client_secret my-own-secret is wrong"), f"client_secret {MASK} is wrong"),
        (ValueError(ConnectionError("refused by x:443")), "refused by x:443"),
        (FileNotFoundError(2, "No such file or directory", "/home/me/key.json"), "No such file or directory"),
        (ValueError(), "ValueError"),
        (OSError(), "OSError"),
        (ValueError("a" * 5000), "a" * MAX_TOLD_CHARS),
    ],
)
def test_what_a_library_says_is_told_short_on_one_line_and_without_secrets(error: Exception, told: str) -> None:
    assert tellable(error, [Secret("my-own-secret")]) == told
