import inspect

import pytest

from rxlapce import errors
from rxlapce.errors import (
    DEFAULT_RETRY,
    BadPayload,
    ErrorKind,
    Phase,
    ProtocolError,
    ProviderError,
    Retry,
    RxlapceError,
)


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_knows_where_to_try_again(kind: ErrorKind) -> None:
    assert ProviderError(kind, "m").retry is DEFAULT_RETRY[kind]
    assert ProviderError(kind, "m", retry=Retry.NEVER).retry is Retry.NEVER


def test_the_default_phase_is_flow_and_missing_facts_are_none() -> None:
    error = ProviderError(ErrorKind.NETWORK, "gone")
    assert error.phase is Phase.FLOW
    assert (error.status, error.retry_after_s, error.provider, error.request_id, error.raw) == (None,) * 5


def test_the_text_says_who_what_kind_where_and_status() -> None:
    error = ProviderError(ErrorKind.RATE_LIMIT, "slow down", phase=Phase.HEADERS, status=429, provider="acme")
    assert str(error) == "acme: slow down (rate_limit in phase headers, HTTP 429)"
    assert str(ProviderError(ErrorKind.NETWORK, "gone")) == "gone (network in phase flow)"


def test_a_status_and_a_wait_of_zero_are_kept() -> None:
    error = ProviderError(ErrorKind.RATE_LIMIT, "m", retry_after_s=0.0, status=0)
    assert (error.to_dict()["retry_after_s"], error.to_dict()["status"]) == (0.0, 0)
    assert "HTTP 0" in str(error)


def test_raw_is_cut_at_its_bound() -> None:
    limit = ProviderError.MAX_RAW_CHARS
    error = ProviderError(ErrorKind.INTERNAL, "m", raw="x" * (limit + 1))
    assert error.raw == "x" * limit
    assert ProviderError(ErrorKind.INTERNAL, "m", raw="").raw == ""


def test_what_a_protocol_error_quotes_of_the_peer_is_cut_at_its_bound_and_can_be_written() -> None:
    message = str(BadPayload("\ud800" + "x" * 10_000))
    assert message == "?" + "x" * (ProtocolError.MAX_MESSAGE_CHARS - 1)


def test_to_dict_has_every_field_with_plain_values() -> None:
    error = ProviderError(
        ErrorKind.TIMEOUT, "late", phase=Phase.FIRST_TOKEN, retry_after_s=1.5, status=200, provider="p",
        request_id="r", raw="{}",
    )  # fmt: skip
    assert error.to_dict() == {
        "kind": "timeout",
        "retry": "other_provider",
        "phase": "first_token",
        "retry_after_s": 1.5,
        "status": 200,
        "provider": "p",
        "request_id": "r",
        "message": "late",
        "raw": "{}",
        "delivered_chars": None,
    }
    error.delivered_chars = 0
    assert error.to_dict()["delivered_chars"] == 0
    assert [type(value) for value in error.to_dict().values()] == [str, str, str, float, int, str, str, str, str, int]


def test_every_error_is_in_the_tree_that_the_module_draws() -> None:
    defined = {
        name: error
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, Exception) and error.__module__ == errors.__name__
    }
    assert all(issubclass(error, RxlapceError) for error in defined.values())
    assert errors.__doc__ is not None
    assert [name for name in defined if name not in errors.__doc__] == []


def test_every_error_but_the_root_says_what_it_is() -> None:
    for error in (errors.FrameError, errors.RingCorrupt, errors.HandshakeRefused, errors.SequenceGap):
        assert issubclass(error, errors.ProtocolError)
        assert not issubclass(error, ProviderError)
    assert issubclass(errors.DaemonNotRunning, errors.ConnectionLost)
    assert issubclass(errors.DaemonAlreadyRunning, errors.ConfigError)
