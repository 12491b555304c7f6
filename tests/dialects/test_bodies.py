"""What the dialects have in common: their names, `extra`, and answers that are none."""

import json

import pytest

from rxlapce.codec.event import Event
from rxlapce.dialects import DIALECTS, AnthropicMessages, ChatCompletions
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.requests import ChatRequest, Message
from rxlapce.typing import Dialect


def test_table_names_each_dialect_by_its_api() -> None:
    assert {name: make().name for name, make in DIALECTS.items()} == {name: name for name in DIALECTS}


@pytest.mark.parametrize("dialect", [ChatCompletions(), AnthropicMessages()])
def test_extra_members_win(dialect: Dialect[Event]) -> None:
    turn, extra = Message(role="user", content="Hi"), {"temperature": 1, "metadata": {"a": "b"}}
    request = ChatRequest(model="p/m", messages=(turn,), temperature=0.1, extra=extra)
    said = json.loads(dialect.chat_body(request, "m", stream=False))
    assert (said["temperature"], said["metadata"]) == (1, {"a": "b"})


@pytest.mark.parametrize("dialect", [ChatCompletions(), AnthropicMessages()])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b'{"error":{"code":429,"message":"later"}}', ErrorKind.RATE_LIMIT),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}', ErrorKind.OVERLOADED),
        (b"{}", ErrorKind.PROTOCOL),
        (b"[]", ErrorKind.PROTOCOL),
        (b"<html>", ErrorKind.PROTOCOL),
        (b"\xff", ErrorKind.PROTOCOL),
        (b"", ErrorKind.PROTOCOL),
    ],
)
def test_a_200_without_an_answer_is_an_error(dialect: Dialect[Event], answer: bytes, kind: ErrorKind) -> None:
    with pytest.raises(ProviderError) as caught:
        dialect.read_answer(answer)
    assert caught.value.kind is kind


@pytest.mark.parametrize("make", [ChatCompletions, AnthropicMessages])
def test_an_http_error_is_read_against_the_dialects_clock(
    make: type[ChatCompletions] | type[AnthropicMessages],
) -> None:
    headers = {"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}
    error = make(now=lambda: 1_800_000_000.0).read_error(429, headers, b"")
    assert (error.kind, error.retry_after_s) == (ErrorKind.RATE_LIMIT, 30.0)
