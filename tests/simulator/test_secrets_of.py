import pytest

from rxlapce.secret import Secret
from rxlapce.simulator.secrets_of import secrets_of


@pytest.mark.parametrize(
    ("name", "said", "secret"),
    [
        ("Authorization", "Bearer sk-abcdef", "sk-abcdef"),
        ("Authorization", "Basic dXNlcjpwYXNzd29yZA==", "password"),
        ("Proxy-Authorization", "Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA123/2026/r, SignedHeaders=h, Signature=f00ba4", "f00ba4"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA123/2026/r, SignedHeaders=h, Signature=f00ba4", "AKIA123"),
        ("x-api-key", "sk-ant-1", "sk-ant-1"),
        ("api-key", "azure-1", "azure-1"),
        ("x-goog-api-key", "AIza-1", "AIza-1"),
        ("x-amz-security-token", "session-1", "session-1"),
        ("Cookie", 'a=first-1; b="second-2"', "second-2"),
    ],
)
def test_what_a_header_proves_who_asks_by_is_secret(name: str, said: str, secret: str) -> None:
    found = secrets_of([(name, said)], [])
    assert Secret(secret) in found
    assert Secret(said) in found


@pytest.mark.parametrize("name", ["Content-Type", "User-Agent", "anthropic-version", "X-Request-Id", "max_tokens"])
def test_other_headers_are_none(name: str) -> None:
    assert secrets_of([(name, "application/json")], []) == ()


def test_a_key_in_the_query_is_secret_as_it_stands_in_the_url_too() -> None:
    assert secrets_of([], [("key", "a/b+c"), ("alt", "sse")]) == (Secret("a/b+c"), Secret("a%2Fb%2Bc"))


def test_a_key_in_a_json_body_is_secret_and_what_is_asked_is_not() -> None:
    body = b'{"api_key": "in-the-body", "max_tokens": 10, "model": "m", "prompt": "token"}'
    assert secrets_of([], [], body) == (Secret("in-the-body"),)
    assert secrets_of([], [], b"\xff") == ()
