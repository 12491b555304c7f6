r"""Characters cut into halves of a surrogate pair: `"\ud83e"` in one delta and `"\udd14"` in the next."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxlapce.codec.event import Event
from rxlapce.dialects import AnthropicMessages, ChatCompletions, Responses
from rxlapce.dialects.split_characters import SplitCharacters
from rxlapce.errors import ErrorKind, ProviderError
from rxlapce.tokens import StreamToken, Text, ToolCall
from rxlapce.typing import Dialect

Say = Callable[[str], dict[str, Any]]


def chat(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def message(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def response(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "item_id": "i", "delta": text}


SPEAKERS = pytest.mark.parametrize(
    ("dialect", "say"), [(ChatCompletions(), chat), (AnthropicMessages(), message), (Responses(), response)]
)


def tokens(dialect: Dialect[Event], *said: dict[str, Any]) -> list[StreamToken]:
    decoder, out = dialect.decoder(), list[StreamToken]()
    for value in said:
        assert not decoder.feed(Event(json.dumps(value)), out)
    return out


@SPEAKERS
def test_two_halves_of_a_character_are_joined(dialect: Dialect[Event], say: Say) -> None:
    assert tokens(dialect, say("Hm \ud83e"), say("\udd14 so"), say("\ud83e"), say("\udd14")) == [
        Text("Hm "),
        Text("\N{THINKING FACE} so"),
        Text("\N{THINKING FACE}"),
    ]


@SPEAKERS
def test_a_half_without_the_other_is_replaced(dialect: Dialect[Event], say: Say) -> None:
    assert tokens(dialect, say("\udd14 a"), say("b\ud83ec"), say("d\udd14")) == [
        Text("\ufffd a"),
        Text("b\ufffdc"),
        Text("d\ufffd"),
    ]


@SPEAKERS
def test_other_broken_json_stays_an_error(dialect: Dialect[Event], say: Say) -> None:
    for data in (r'{"a":"\ud83e"', r'{"a":"\ud83e\ud83e"}}', r'{"a":"\\ud83e"', r'"\ud83'):
        with pytest.raises(ProviderError) as caught:
            dialect.decoder().feed(Event(data), [])
        assert caught.value.kind is ErrorKind.PROTOCOL


def test_arguments_of_a_tool_are_joined_too() -> None:
    def call(arguments: str) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": arguments}}]}}]}

    out = tokens(ChatCompletions(), call('{"a": "\ud83e'), call('\udd14"}'))
    said = "".join(token.arguments_delta for token in out if isinstance(token, ToolCall))
    assert said == '{"a": "\N{THINKING FACE}"}'


@pytest.mark.parametrize(
    "data",
    ["", "[DONE]", r'{"a":"\ud83e\udd14"}', r'{"a":"\\ud83e"}', r'{"a":"\\\ud83e\udd14\\"}', '{"a":"\\', r'"\ud83"'],
)
def test_whole_characters_and_what_only_looks_like_half_of_one_are_left_alone(data: str) -> None:
    assert SplitCharacters().mend(Event(data)) is None


def test_a_mended_event_keeps_its_name_and_id() -> None:
    assert SplitCharacters().mend(Event(r'"\ud83e"', "delta", "7")) == Event('""', "delta", "7")


@given(text=st.text(st.sampled_from('a"\\\n\N{THINKING FACE}\N{GRINNING FACE}\N{SNOWMAN}')), cut=st.integers(1, 3))
def test_text_that_was_cut_anywhere_is_whole_again(text: str, cut: int) -> None:
    units = text.encode("utf-16-le")
    slices = [units[at : at + 2 * cut].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2 * cut)]
    out = tokens(ChatCompletions(), *map(chat, slices))
    assert "".join(token.text for token in out if isinstance(token, Text)) == text
